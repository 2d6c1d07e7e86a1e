/** A cluster of two racks behind routers that are none of ours: FRR and GoBGP as top-of-rack routers, FRR as the spine. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FabricTables, type RouterPath } from "./fabric-fixture.ts";
import { eventually } from "./lab-fixture.ts";
import { responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("bgp-fabric");
const tables = new FabricTables(lab);
const PODS = ["a", "b", "c", "d"];
const NODES = ["node1", "node2", "node3", "node4"];
const OUTSIDE = ["203.0.113.10", "2001:db8:113::10"];
const [VIP4, VIP6] = ["198.51.100.10", "2001:db8:51::10"];
const COMMUNITY = "64512:100";
/** Sessions come within seconds; a busy machine may take its time. */
const SESSION_MS = 60_000;

const prefixes = (i: number) => [`10.244.${i}.0/24`, `fd00:10:244:${i}::/64`];
/** By pod, IPv4 first. */
const addresses = new Map<string, string[]>();
const addressesOf = (pod: string) => addresses.get(pod) ?? [];

before(async () => {
  const shape = ["--nodes", "4", "--subnets", "2", "--routing", "bgp", "--load-balancer"];
  await lab.up(
    PODS.map((name, i) => responder(name, name === "a" || name === "b" ? "web" : name, `node${i + 1}`)),
    shape,
  );
  for (const name of PODS) addresses.set(name, await lab.podIps(name));
  await lab.apply(
    {
      apiVersion: "breakwater.dev/v1alpha1",
      kind: "LoadBalancerPool",
      metadata: { name: "public" },
      spec: { addresses: [`${VIP4}/32`, `${VIP6}/128`] },
    },
    service("web", { type: "LoadBalancer", externalTrafficPolicy: "Local" }),
  );
});
after(() => lab.close());

/** Waits until a table has exactly these paths, in any order. */
const has = (table: () => Promise<RouterPath[]>, wanted: readonly RouterPath[]) =>
  eventually(SESSION_MS, async () => assert.deepEqual(sorted(await table()), sorted(wanted)));
const sorted = (paths: readonly RouterPath[]) =>
  paths.toSorted((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1));
const path = (nextHop: string, asPath: string): RouterPath => ({
  nextHops: [nextHop],
  asPath,
  communities: [COMMUNITY],
});

test("pods of both racks reach each other by TCP and UDP, IPv4 and IPv6", async () => {
  const rows = PODS.flatMap((from) =>
    PODS.flatMap((to) =>
      addressesOf(to).flatMap((ip) =>
        (["TCP", "UDP"] as const).map((protocol) => ({
          ...{ from: `default/${from}`, to: ip, port: 80, protocol },
          gets: `default/${to}`,
          sees: addressesOf(from)[ip.includes(":") ? 1 : 0] ?? "",
        })),
      ),
    ),
  );
  assert.equal(rows.length, 64, "four pods with two addresses each");
  await lab.settles(rows);
});

test("a node has a session with its own rack's router and with nodes of its rack, and with nobody else", async () => {
  const sessions = async (node: string) =>
    (await tables.bgpOf(node)).sessions.map(({ peer, kind, asNumber, state }) => [peer, kind, asNumber, state]);
  await eventually(SESSION_MS, async () => {
    assert.deepEqual(await sessions("node1"), [
      ["node3", "node", 64512, "Established"],
      ["tor1", "peer", 65001, "Established"],
    ]);
    assert.deepEqual(await sessions("node4"), [
      ["node2", "node", 64512, "Established"],
      ["tor2", "peer", 65002, "Established"],
      ["tor2-ipv6", "peer", 65002, "Established"],
    ]);
  });
});

test("FRR's table has each pod CIDR of its rack by its node, and the other rack's by the spine, two ways", async () => {
  for (const i of [1, 3]) {
    const [v4 = "", v6 = ""] = prefixes(i);
    await has(() => tables.frr("tor1", v4), [path(`192.168.1.${10 + i}`, "64601")]);
    await has(() => tables.frr("tor1", v6), [path(`fd00:192:168:1::${(10 + i).toString(16)}`, "64601")]);
  }
  for (const i of [2, 4]) {
    const ways = (...hops: string[]) => hops.map((hop) => path(hop, "65000 65002 64602"));
    const [v4 = "", v6 = ""] = prefixes(i);
    await has(() => tables.frr("tor1", v4), ways("172.31.1.5", "172.31.1.9"));
    await has(() => tables.frr("tor1", v6), ways("fd00:172:31:1:1::1", "fd00:172:31:1:2::1"));
  }
});

test("GoBGP's table has the same, and its machine has it in the kernel", async () => {
  for (const i of [2, 4]) {
    const [v4 = "", v6 = ""] = prefixes(i);
    await has(() => tables.gobgp("tor2", v4), [path(`192.168.2.${10 + i}`, "64602")]);
    await has(() => tables.gobgp("tor2", v6), [path(`fd00:192:168:2::${(10 + i).toString(16)}`, "64602")]);
  }
  for (const i of [1, 3]) {
    const ways = (...hops: string[]) => hops.map((hop) => path(hop, "65000 65001 64601"));
    const [v4 = "", v6 = ""] = prefixes(i);
    await has(() => tables.gobgp("tor2", v4), ways("172.31.2.5", "172.31.2.9"));
    await has(() => tables.gobgp("tor2", v6), ways("fd00:172:31:2:1::1", "fd00:172:31:2:2::1"));
  }
  const [routes, routes6] = [
    await lab.exec("node/tor2", "ip", "route"),
    await lab.exec("node/tor2", "ip", "-6", "route"),
  ];
  assert.match(routes, /^10\.244\.2\.0\/24 .*via 192\.168\.2\.12 dev rack proto bgp/m);
  assert.match(routes6, /^fd00:10:244:4::\/64 .*via fd00:192:168:2::e dev rack proto bgp/m);
});

test("Service addresses are in both tables by the nodes with an endpoint, with the cluster's community", async () => {
  // What the spine found best by the other rack may be there, too.
  const own = async (paths: Promise<RouterPath[]>) => (await paths).filter(({ asPath }) => /^6460\d$/.test(asPath));
  await has(() => own(tables.frr("tor1", `${VIP4}/32`)), [path("192.168.1.11", "64601")]);
  await has(() => own(tables.frr("tor1", `${VIP6}/128`)), [path("fd00:192:168:1::b", "64601")]);
  await has(() => own(tables.gobgp("tor2", `${VIP4}/32`)), [path("192.168.2.12", "64602")]);
  await has(() => own(tables.gobgp("tor2", `${VIP6}/128`)), [path("fd00:192:168:2::c", "64602")]);
  await has(
    () => tables.frr("spine", `${VIP4}/32`),
    [
      ...["172.31.1.6", "172.31.1.10"].map((hop) => path(hop, "65001 64601")),
      ...["172.31.2.6", "172.31.2.10"].map((hop) => path(hop, "65002 64602")),
    ],
  );
  const rows = [VIP4, VIP6].map((to) => ({ from: "node/outside", to, port: 80 }));
  await lab.reachesAll(rows, ["a", "b"]);
});

test("a host behind the fabric reaches pods, pods reach it with their own addresses, and no packet is encapsulated", async () => {
  const rules = [
    "table inet proof {",
    "chain passes {",
    "  type filter hook prerouting priority -400;",
    "  ip saddr 10.244.0.0/16 ip daddr 203.0.113.10 counter comment pods4",
    "  ip6 saddr fd00:10:244::/48 ip6 daddr 2001:db8:113::10 counter comment pods6",
    "  ip saddr 203.0.113.10 ip daddr 10.244.0.0/16 counter comment host4",
    "  ip6 saddr 2001:db8:113::10 ip6 daddr fd00:10:244::/48 counter comment host6",
    "  meta l4proto { ipip, ipv6, gre } counter comment tunnels",
    "  udp dport { 4789, 8472, 6081 } counter comment vxlan",
    "}",
    "}",
  ].join("\n");
  const file = lab.home.write("proof.nft", rules);
  for (const place of ["spine", "outside"]) await lab.exec(`node/${place}`, "nft", "-f", file);
  const pings = PODS.flatMap((pod) =>
    OUTSIDE.map((ip) => lab.exec(`default/${pod}`, "ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "2", ip)),
  );
  for (const said of await Promise.all(pings)) assert.match(said, /3 packets transmitted, 3 received/);
  await lab.settles(
    PODS.flatMap((pod) =>
      addressesOf(pod).map((to, family) => ({
        ...{ from: "node/outside", to, port: 80, gets: `default/${pod}` },
        sees: OUTSIDE[family] ?? "",
      })),
    ),
  );
  const counts = async (place: string) => {
    const text = await lab.exec(`node/${place}`, "nft", "list", "table", "inet", "proof");
    return Object.fromEntries(
      [...text.matchAll(/counter packets (\d+) bytes \d+ comment "(\w+)"/g)].map(([, count, name]) => [
        name,
        Number(count),
      ]),
    );
  };
  for (const place of ["spine", "outside"]) {
    const { pods4 = 0, pods6 = 0, tunnels, vxlan } = await counts(place);
    // Four pods, three requests each, and the segments of a dial to each.
    assert.ok(pods4 >= 24 && pods6 >= 24, `${place}: ${pods4} and ${pods6} packets from pods`);
    assert.deepEqual([tunnels, vxlan], [0, 0]);
  }
  const { host4 = 0, host6 = 0 } = await counts("spine");
  assert.ok(host4 >= 24 && host6 >= 24, `${host4} and ${host6} packets to pods`);
  for (const node of NODES) assert.doesNotMatch(await lab.exec(`node/${node}`, "ip", "-o", "link"), /vxlan|ipip|gre/);
});

test("nodes take routes to what is behind the fabric, and nothing else from it", async () => {
  await eventually(SETTLED_MS, async () => {
    const routes = await lab.exec("node/node1", "ip", "route");
    assert.match(routes, /^203\.0\.113\.0\/24 via 192\.168\.1\.1 dev eth0 proto bird metric 9800/m);
    assert.match(routes, /^10\.244\.2\.0\/24 via 192\.168\.1\.1 dev eth0 proto bird metric 9800/m);
    assert.match(routes, /^10\.244\.3\.0\/24 via 192\.168\.1\.13 dev eth0 proto bird metric 9800/m);
    assert.doesNotMatch(routes, /172\.31\.|192\.168\.2\.|198\.51/);
  });
});

/** Starts to note which learned routes a machine loses. @returns ends it, and gives what it noted */
async function watchLosses(machine: string): Promise<() => Promise<string[]>> {
  const file = join(lab.home.folder, `losses-${machine}`);
  const shell = (command: string) => lab.exec(`node/${machine}`, "sh", "-c", command);
  const families = ["4", "6"].map(
    (family) => `ip -${family} monitor route > ${file}-${family} 2>&1 < /dev/null & echo $!`,
  );
  const pids = (await shell(families.join("; "))).trim().split("\n");
  return async () => {
    const said = await shell(`kill ${pids.join(" ")}; cat ${file}-4 ${file}-6`);
    return said.split("\n").filter((line) => /^Deleted .* proto (?:bird|bgp)/.test(line));
  };
}

async function watchAllLosses(): Promise<() => Promise<string[]>> {
  const ends = await Promise.all(["node1", "tor1", "spine", "tor2", "node3"].map(watchLosses));
  return async () => (await Promise.all(ends.map((end) => end()))).flat();
}

/** Of a pod, ten a second, to the host behind the fabric. */
function pingsOutside(pod: string, count: number): Promise<string> {
  const words = ["-n", "-q", "-c", String(count), "-i", "0.1", "-W", "2", OUTSIDE[0] ?? ""];
  return lab.exec(`default/${pod}`, "ping", ...words);
}

/** Takes BFD's watch away from all sessions of an FRR router. */
async function withoutBfd(router: string, as: number): Promise<void> {
  const neighbors = JSON.parse(await tables.vtysh(router, "show bgp neighbors json")) as Record<string, unknown>;
  const off = Object.keys(neighbors).map((neighbor) => `no neighbor ${neighbor} bfd`);
  const commands = ["configure terminal", `router bgp ${as}`, ...off];
  await lab.exec(`node/${router}`, "vtysh", ...commands.flatMap((command) => ["-c", command]));
  // bgpd tells bfdd of each by a message of its own.
  await eventually(SESSION_MS, async () =>
    assert.deepEqual(JSON.parse(await tables.vtysh(router, "show bfd peers json")), []),
  );
}

test("a node's BIRD that is killed again and again costs no route for a moment: not on the node, nor on its router, nor behind", async () => {
  // A peer with BFD cannot tell a BIRD that restarts from a node that died, nor a router from one that a busy machine lets wait.
  await lab.kubectl("patch", "bgppeer", "tor1", "--type=merge", "-p", '{"spec":{"bfd":false}}');
  await withoutBfd("tor1", 65_001);
  await withoutBfd("spine", 65_000);
  const restarts = async () => (await tables.bgpOf("node1")).bird.restarts;
  const isBack = async (times: number) => {
    const { bird, sessions } = await tables.bgpOf("node1");
    assert.equal(bird.restarts, times);
    assert.deepEqual(
      sessions.map(({ state, channels }) => [state, ...channels.map(({ imported }) => imported > 0)]),
      sessions.map(() => ["Established", true, true]),
    );
    const socket = join(lab.home.folder, "labs", "bgp-fabric", "nodes", "node1", "run", "bird", "bird.ctl");
    const kernels = await lab.exec("node/node1", "birdc", "-s", socket, "show", "protocols");
    assert.deepEqual(
      [...kernels.matchAll(/^kernel[46] +Kernel +\S+ +(\w+)/gm)].map(([, state]) => state),
      ["up", "up"],
    );
  };
  const before = await restarts();
  await eventually(SESSION_MS, () => isBack(before));
  // Who had BFD may have begun its session anew: what that took away comes to the far router last.
  await eventually(SESSION_MS, async () => {
    const ends = await watchAllLosses();
    await Promise.all(["b", "c"].map((pod) => pingsOutside(pod, 30)));
    assert.deepEqual(await ends(), []);
  });
  const losses = await watchAllLosses();
  for (let times = 1; times <= 4; times++) {
    await lab.lab("fault", "add", "kill-bird", "--node", "node1");
    await eventually(SESSION_MS, () => isBack(before + times));
  }
  assert.deepEqual(await losses(), []);
});
