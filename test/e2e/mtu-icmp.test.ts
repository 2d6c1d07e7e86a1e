/**
 * ICMP "too big" reaches the pod whatever the node did to the flow (masquerade, a Service's DNAT, both), and TCP through
 * the tunnel opens with an MSS that fits. docs/packets/too-big.md has the messages' way.
 *
 *   pod a ═ node1 ─┬─ tunnel ─── node2 ═ pod b        everything that crosses the router: 1300 bytes at most
 *                  └─ router ─┬─ node2 ═ pod b
 *                             └─ outside
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { eventually, LabHome, podManifest } from "./lab-fixture.ts";
import type { DatagramOutcome } from "./peers/datagram.ts";
import { PEER_PORT } from "./peers/port.ts";

const home = new LabHome();
const NAME = "icmp";
const lab = (verb: string, ...args: string[]) => home.lab(NAME, verb, ...args);
const families = [4, 6] as const;
type Family = (typeof families)[number];
type Both = Readonly<Record<Family, string>>;

const POD_MTU = 1450;
const ROUTER_MTU = 1300;
const MEGABYTES = 8;
/** Longer than agents need to prove a path narrower, on a busy machine. */
const PROOF_DEADLINE_MS = 30_000;

const NODE1: Both = { 4: "192.168.1.11", 6: "fd00:192:168:1::b" };
const NODE2: Both = { 4: "192.168.1.12", 6: "fd00:192:168:1::c" };
const ROUTER: Both = { 4: "192.168.1.1", 6: "fd00:192:168:1::1" };
const OUTSIDE: Both = { 4: "203.0.113.10", 6: "2001:db8:113::10" };
/** Services: node 1 has the rules that a kube-proxy would have. */
const OUTSIDE_SERVICE: Both = { 4: "10.96.77.1", 6: "fd00:10:96::7701" };
const POD_SERVICE: Both = { 4: "10.96.77.2", 6: "fd00:10:96::7702" };
let podA: Both = { 4: "", 6: "" };
let podB: Both = { 4: "", 6: "" };

async function exec(target: string, ...command: string[]): Promise<string> {
  const outcome = await lab("exec", target, "--", ...command);
  assert.equal(outcome.code, 0, `${target}: ${command.join(" ")}: ${outcome.stdout}${outcome.stderr}`);
  return outcome.stdout;
}
const shell = (target: string, script: string) => exec(target, "sh", "-ec", script);

async function fault(...args: string[]): Promise<void> {
  const { code, stderr } = await lab("fault", ...args);
  assert.equal(code, 0, `fault ${args.join(" ")}: ${stderr}`);
}

/** A program of `peers/`, by this Node. */
const peer = (name: string, ...args: string[]) => [process.execPath, resolve(`test/e2e/peers/${name}.ts`), ...args];

/** Starts a program that ends with the lab at the latest. @returns its pid inside the lab */
async function start(target: string, ...command: string[]): Promise<string> {
  return (await shell(target, `setsid ${command.join(" ")} </dev/null >/dev/null 2>&1 & echo $!`)).trim();
}

before(async () => {
  const server = { containers: [{ name: "c", image: "x", command: peer("server") }] };
  const items = ["a", "b"].map((name, i) => podManifest(name, { nodeName: `node${i + 1}`, ...server }));
  const file = home.write("pods.json", JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const up = await lab("up", "--nodes", "2", "--routing", "vxlan", "--dual-stack", "--manifests", file);
  assert.equal(up.code, 0, up.stderr);
  [podA, podB] = [await addressesOf("a"), await addressesOf("b")];
  await start("node/outside", ...peer("server"));
  await addServices();
  await fault("add", "router-mtu", "--size", String(ROUTER_MTU));
  for (const target of ["node/outside", "default/b"]) {
    await eventually(10_000, async () => assert.match(await exec(target, "ss", "-ltn"), new RegExp(`:${PEER_PORT} `)));
  }
});

after(() => home.close());

async function addressesOf(pod: string): Promise<Both> {
  const { stdout } = await home.kubectl(NAME, ["get", "pod", pod, "-o", "jsonpath={.status.podIPs[*].ip}"]);
  const [four = "", six = ""] = stdout.split(" ");
  return { 4: four, 6: six };
}

async function addServices(): Promise<void> {
  const dnat = ([service, backend]: readonly [Both, Both]) => `
    ip daddr ${service[4]} dnat ip to ${backend[4]}
    ip6 daddr ${service[6]} dnat ip6 to ${backend[6]}`;
  const services = [
    [OUTSIDE_SERVICE, OUTSIDE],
    [POD_SERVICE, podB],
  ] as const;
  const rules = `table inet service-stand-in {
    chain prerouting { type nat hook prerouting priority dstnat;${services.map(dnat).join("")}
    }
  }`;
  await shell("node/node1", `nft -f - <<'END'\n${rules}\nEND`);
}

/** The MTU to an address that pod a's kernel keeps in memory; undefined: that of the device. */
async function learnedMtu(address: string): Promise<number | undefined> {
  const mtu = / mtu (\d+)/.exec(await exec("default/a", "ip", "route", "get", address))?.[1];
  return mtu === undefined ? undefined : Number(mtu);
}

/** What `breakwater mtu` says that the pod learned. */
async function learnedByReport(): Promise<Record<string, number>> {
  const args = ["mtu", "--pod", "default/a", "-o", "json"];
  const report = JSON.parse(await exec("node/node1", resolve("bin/breakwater"), ...args));
  return Object.fromEntries(
    report.learned.map(({ destination, mtuBytes }: { destination: string; mtuBytes: number }) => [
      destination,
      mtuBytes,
    ]),
  );
}

const forget = () => shell("default/a", "ip route flush cache; ip -6 route flush cache");

/** What the kernel does to a namespace's IPv6 routes every 30 seconds: what was learned and is not over stays. */
const collectGarbage = () => shell("default/a", "echo 1 > /proc/sys/net/ipv6/route/flush");

async function datagrams(to: string, bytes: number): Promise<DatagramOutcome> {
  return JSON.parse(await exec("default/a", ...peer("datagram", to, String(bytes))));
}

async function transferIsIntact(to: string, ...within: string[]): Promise<void> {
  const program = peer("transfer", to, String(MEGABYTES));
  const { sent, arrived } = JSON.parse(await exec("default/a", ...within, "timeout", "20", ...program));
  assert.equal(arrived, sent);
}

interface Way {
  readonly name: string;
  /** What the pod sends to, and what the node makes of it. */
  readonly to: Both;
  readonly backend: () => Both;
  /** Who the backend sees. */
  readonly seenAs: () => Both;
  /** Routes that lead over the narrow hop. */
  readonly routes?: (family: Family) => Promise<readonly (readonly [target: string, route: string])[]>;
}

const ways: readonly Way[] = [
  {
    name: "masquerade, router",
    to: OUTSIDE,
    backend: () => OUTSIDE,
    seenAs: () => NODE1,
  },
  {
    name: "a Service's DNAT and masquerade, router",
    to: OUTSIDE_SERVICE,
    backend: () => OUTSIDE,
    seenAs: () => NODE1,
  },
  {
    name: "a Service's DNAT to a pod of another node, router between the nodes",
    to: POD_SERVICE,
    backend: () => podB,
    seenAs: () => podA,
    routes: async (family) => [
      ["node/node1", `${podB[family]} via ${ROUTER[family]} dev eth0`],
      ["node/node2", `${podA[family]} via ${ROUTER[family]} dev eth0`],
      ["node/router", `${podA[family]} via ${NODE1[family]} dev r1 mtu ${ROUTER_MTU}`],
      ["node/router", `${podB[family]} via ${NODE2[family]} dev r1 mtu ${ROUTER_MTU}`],
    ],
  },
  {
    name: "a Service's DNAT to a pod of another node, the pod's own node",
    to: POD_SERVICE,
    backend: () => podB,
    seenAs: () => podA,
    routes: async (family) => {
      const get = await exec("node/node1", "ip", "route", "get", podB[family]);
      const hop = / via \S+ dev bwvxlan/.exec(get)?.[0];
      return [["node/node1", `${podB[family]}${hop} onlink mtu ${ROUTER_MTU}`]];
    },
  },
];

for (const { name, to, backend, seenAs, routes } of ways) {
  for (const family of families) {
    test(`ICMPv${family} "too big" reaches the pod: ${name}`, async (t) => {
      for (const [target, route] of (await routes?.(family)) ?? []) {
        await exec(target, "sh", "-ec", `ip route add ${route}`);
        t.after(() => exec(target, "sh", "-ec", `ip route del ${route}`));
      }
      t.after(forget);
      await forget();
      assert.deepEqual(await datagrams(to[family], POD_MTU), {
        first: "",
        answer: "EMSGSIZE",
        mtuBytes: ROUTER_MTU,
        again: "EMSGSIZE",
        fitting: `${ROUTER_MTU - (family === 4 ? 28 : 48)} from ${seenAs()[family]}`,
      });
      // The address that the pod knows, and no other: it has never heard of the backend's.
      assert.equal(await learnedMtu(to[family]), ROUTER_MTU);
      assert.deepEqual(await learnedByReport(), { [to[family]]: ROUTER_MTU });
      if (family === 6) await collectGarbage();
      assert.equal(await learnedMtu(to[family]), ROUTER_MTU, "for ten minutes, not until the next garbage collection");
      if (to !== backend()) assert.equal(await learnedMtu(backend()[family]), undefined);

      await forget();
      assert.equal(await learnedMtu(to[family]), undefined);
      await transferIsIntact(to[family]);
      assert.equal(await learnedMtu(to[family]), ROUTER_MTU, "TCP learned it from a message of its own");
    });
  }
}

/** In a pod: the MSS of opening segments as they leave it and as they come in, before anybody else sees them. */
const WATCH = `table inet watch {
  set sent { typeof tcp option maxseg size; flags dynamic; size 64; }
  set received { typeof tcp option maxseg size; flags dynamic; size 64; }
  chain out { type filter hook postrouting priority 300; oifname "eth0" tcp flags & syn == syn update @sent { tcp option maxseg size }; }
  chain in { type filter hook prerouting priority -300; iifname "eth0" tcp flags & syn == syn update @received { tcp option maxseg size }; }
}`;

/** @returns the sizes that SYN and SYN-ACK had when they left their pod and when they reached the other one */
async function openingSizes(connectAndSend: () => Promise<void>): Promise<Record<string, number[]>> {
  const pods = ["default/a", "default/b"];
  for (const pod of pods) await shell(pod, `nft -f - <<'END'\n${WATCH}\nEND`);
  try {
    await connectAndSend();
    const [a, b] = pods as [string, string];
    return {
      synSent: await sizes(a, "sent"),
      synReceived: await sizes(b, "received"),
      synAckSent: await sizes(b, "sent"),
      synAckReceived: await sizes(a, "received"),
    };
  } finally {
    for (const pod of pods) await exec(pod, "nft", "delete", "table", "inet", "watch");
  }
}

async function sizes(pod: string, set: string): Promise<number[]> {
  const { nftables } = JSON.parse(await exec(pod, "nft", "-j", "list", "set", "inet", "watch", set));
  return nftables.flatMap((entry: { set?: { elem?: number[] } }) => entry.set?.elem ?? []);
}

const NESTED: Both = { 4: "172.30.0.2", 6: "fd77::2" };

/** A container inside pod a, as a nested runtime makes it: a wire of 1500 bytes, behind the pod's address. */
async function startNested(): Promise<string[]> {
  const pid = await start("default/a", "unshare", "--net", "sleep", "infinity");
  const within = ["nsenter", `--net=/proc/${pid}/ns/net`];
  // Its namespace is its own when the pod's device is not in it.
  await eventually(5000, async () => assert.doesNotMatch(await exec("default/a", ...within, "ip", "link"), /eth0/));
  await shell(
    "default/a",
    `ip link add nested mtu 1500 type veth peer name eth0 mtu 1500 netns ${pid}
    ip address add 172.30.0.1/24 dev nested
    ip address add fd77::1/64 dev nested nodad
    ip link set nested up
    echo 1 > /proc/sys/net/ipv4/ip_forward
    echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
    nft add table inet nested
    nft add chain inet nested post '{ type nat hook postrouting priority srcnat; }'
    nft add rule inet nested post ip saddr ${NESTED[4]} masquerade
    nft add rule inet nested post ip6 saddr ${NESTED[6]} masquerade`,
  );
  const setUp = `ip address add ${NESTED[4]}/24 dev eth0
    ip address add ${NESTED[6]}/64 dev eth0 nodad
    ip link set eth0 up
    ip route add default via 172.30.0.1
    ip -6 route add default via fd77::1`;
  await exec("default/a", ...within, "sh", "-ec", setUp);
  return within;
}

/** TCP's MSS is an MTU less the headers of IP and TCP (RFC 9293, section 3.7.1). */
const mss = (mtuBytes: number, family: Family) => mtuBytes - (family === 4 ? 40 : 60);

test("the first SYN through the tunnel has an MSS that fits, also from behind a pod with a larger MTU", async () => {
  const table = await exec("node/node1", "nft", "list", "table", "inet", "breakwater");
  assert.match(table, /oifname "bwvxlan" .*maxseg size set rt mtu/);
  assert.doesNotMatch(table, /hook forward/, "no chain that every packet has to pass");
  const within = await startNested();
  for (const family of families) {
    const seen = await openingSizes(() => transferIsIntact(podB[family], ...within));
    assert.deepEqual(
      seen,
      {
        synSent: [mss(1500, family)],
        synReceived: [mss(POD_MTU, family)],
        synAckSent: [mss(POD_MTU, family)],
        synAckReceived: [mss(POD_MTU, family)],
      },
      `IPv${family}`,
    );
  }
});

test("SYN and SYN-ACK are clamped where a path is narrower than the pods, and their node tells them what it carries", async (t) => {
  // 1250 of them are the tunnel's; pods with IPv6 keep the 1280 that it needs.
  await fault("add", "mtu-blackhole", "--size", "1300");
  t.after(() => fault("clear", "mtu-blackhole"));
  for (const [node, pod] of [
    ["node/node1", "default/a"],
    ["node/node2", "default/b"],
  ] as const) {
    await eventually(PROOF_DEADLINE_MS, async () => {
      assert.match(await exec(pod, "ip", "link", "show", "eth0"), /mtu 1280 /);
      assert.match(await exec(node, "nft", "list", "chain", "inet", "breakwater", "mss"), /hook forward/);
      for (const family of families)
        assert.match(await exec(node, "ip", `-${family}`, "route"), /dev bwvxlan .*mtu 1250/);
    });
  }
  for (const family of families) {
    const seen = await openingSizes(() => transferIsIntact(podB[family]));
    const [announced, fits] = [[mss(1280, family)], [mss(1250, family)]];
    assert.deepEqual(
      seen,
      { synSent: announced, synReceived: fits, synAckSent: announced, synAckReceived: fits },
      `IPv${family}`,
    );
  }
  // The switches are silent: the node says it. Of IPv6 no kernel believes less than 1280 (RFC 8201, section 4).
  assert.deepEqual(await datagrams(POD_SERVICE[4], 1280), {
    first: "",
    answer: "EMSGSIZE",
    mtuBytes: 1250,
    again: "EMSGSIZE",
    fitting: `1222 from ${podA[4]}`,
  });
});
