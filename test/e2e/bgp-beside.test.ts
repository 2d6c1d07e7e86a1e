/**
 * BGP beside other routing: two subnets with routes and a tunnel of the nodes' own, and routers that some of them speak with.
 * The routers are one BIRD on the lab's router, which is none of ours and means no good.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import type { BgpPrefixReport, BgpReport } from "../../src/model/bgp-report.ts";
import { eventually } from "./lab-fixture.ts";
import { responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("bgp-beside");
const PROGRAM = resolve("bin/breakwater");
const VIP = "198.51.100.10";
/** Sessions are tried anew within 10 s, and after errors within 30. */
const SESSION_MS = 60_000;
/** Entries of nodes that are gone: some agent takes them back within a minute. */
const PRUNED_MS = 90_000;
const NODES = ["node1", "node2", "node3"];
/** node1 and node3 are in the first subnet. */
const ROUTER: Readonly<Record<string, string>> = { node1: "192.168.1.1", node2: "192.168.2.1", node3: "192.168.1.1" };

const own = (kind: string, name: string, spec: object) => ({
  apiVersion: "breakwater.dev/v1alpha1",
  kind,
  metadata: { name },
  spec,
});
const peerOf = (rack: string, spec: object = {}) =>
  own("BGPPeer", `tor${rack}`, {
    address: `192.168.${rack}.1`,
    asNumber: 64513,
    nodeSelector: { matchLabels: { rack } },
    importAllow: ["203.0.113.0/24", "10.0.0.0/8"],
    // Nodes of two racks have one AS, and hear of each other by a router of another.
    allowOwnAS: 1,
    ...spec,
  });

/** Announces what it should and what it should not, and passes on what it hears. */
function routerConfig(folder: string): string {
  const stray = ["203.0.113.0/24", "0.0.0.0/0", "10.244.1.128/25", "10.244.2.128/25", "172.16.0.0/12"];
  const sessions = NODES.map((node) =>
    [
      `protocol bgp ${node} {`,
      `  local ${ROUTER[node]} as 64513; neighbor ${lab.addresses(node)[0]} as 64512; direct;`,
      "  connect retry time 2; error wait time 1, 2; connect delay time 1;",
      "  ipv4 { import all; export all; next hop self; };",
      "}",
    ].join("\n"),
  );
  return [
    `log "${join(folder, "router.log")}" all;`,
    "router id 192.168.1.1;",
    "protocol device { scan time 1; }",
    `protocol static { ipv4; ${stray.map((prefix) => `route ${prefix} blackhole;`).join(" ")} }`,
    "protocol kernel { ipv4 { export where source = RTS_BGP; import none; }; merge paths yes; }",
    ...sessions,
    "",
  ].join("\n");
}

const birdc = (...words: string[]) =>
  lab.exec("node/router", "birdc", "-s", join(lab.home.folder, "router.ctl"), ...words);
const routesOf = (node: string) => lab.exec(`node/${node}`, "ip", "route");
const program = (node: string, ...words: string[]) => lab.lab("exec", `node/${node}`, "--", PROGRAM, ...words);

async function bgpOf(node: string): Promise<BgpReport> {
  const { stdout, stderr } = await program(node, "bgp", "-o", "json");
  assert.notEqual(stdout, "", stderr);
  return JSON.parse(stdout) as BgpReport;
}

const established = (node: string) =>
  eventually(SESSION_MS, async () => {
    const { sessions, failure, problems } = await bgpOf(node);
    assert.deepEqual([sessions.map(({ state }) => state), failure, problems], [["Established"], null, []]);
  });

/** Every pod reaches every other one. */
async function allReach(): Promise<void> {
  const pods = ["web1", "web2", "web3"];
  const ips = new Map(await Promise.all(pods.map(async (pod) => [pod, (await lab.podIps(pod))[0] ?? ""] as const)));
  await lab.settles(
    pods.flatMap((from) =>
      pods.map((to) => ({ from: `default/${from}`, to: ips.get(to) ?? "", port: 80, gets: `default/${to}` })),
    ),
  );
}

before(async () => {
  const pods = NODES.map((node, i) => responder(`web${i + 1}`, "web", node));
  await lab.up(pods, ["--nodes", "3", "--subnets", "2", "--load-balancer"]);
  for (const node of NODES) await lab.kubectl("label", "node", node, `rack=${ROUTER[node]?.split(".")[2]}`);
  const file = lab.home.write("router.conf", routerConfig(lab.home.folder));
  const [control = "", pid = ""] = ["router.ctl", "router.pid"].map((name) => join(lab.home.folder, name));
  await lab.exec("node/router", "bird", "-c", file, "-s", control, "-P", pid);
});
after(() => lab.close());

test("without a BGPPeer there is no BIRD, and nodes tell each other how they route", async () => {
  for (const node of NODES) {
    const { code, stderr } = await program(node, "bgp");
    assert.equal(code, 2, stderr);
    assert.match(stderr, /nothing to do with BGP.*BW_BGP[^_]/s);
  }
  const written = await lab.kubectl(
    "get",
    "nodes",
    "-o",
    "jsonpath={.items[*].metadata.annotations.breakwater\\.dev/routing}",
  );
  assert.equal(written, "auto auto auto");
});

test("a BGPPeer starts BIRD on the nodes that it selects: they announce pods and Services, and take what is allowed", async () => {
  await lab.apply(
    own("LoadBalancerPool", "public", { addresses: [`${VIP}/32`] }),
    own("BGPConfiguration", "default", { communities: ["64512:100"], advertise: { loadBalancerIPs: true } }),
    service("web", { type: "LoadBalancer", ipFamilyPolicy: "SingleStack" }),
    peerOf("1"),
  );
  await established("node1");
  await established("node3");
  assert.equal((await program("node2", "bgp")).code, 2, "node2 is in the other rack");
  await lab.apply(peerOf("2"));
  await established("node2");
  await eventually(SETTLED_MS, async () => {
    for (const [i, node] of NODES.entries()) {
      const text = await birdc("show", "route", "protocol", node, "all");
      assert.match(text, new RegExp(`10\\.244\\.${i + 1}\\.0/24 .*[\\s\\S]*via ${lab.addresses(node)[0]} `));
      assert.match(text, new RegExp(`${VIP}/32 `));
      assert.match(text, /BGP\.community: \(64512,100\)/);
    }
  });
});

test("routes between nodes stay their own; nobody outside brings any, nor a default route", async () => {
  for (const node of NODES) {
    await eventually(SETTLED_MS, async () =>
      assert.match(
        await routesOf(node),
        /^203\.0\.113\.0\/24 via 192\.168\.[12]\.1 dev eth0 proto bird metric 9800 $/m,
      ),
    );
    const routes = await routesOf(node);
    assert.doesNotMatch(routes, /10\.244\.\d\.128\/25|172\.16|^default .*bird/m);
    const ofBird = routes.split("\n").filter((line) => line.includes("proto bird"));
    assert.deepEqual(
      ofBird.map((line) => line.split(" via")[0]),
      ["203.0.113.0/24"],
    );
    // What no pod has is not sent back to the fabric, which sends it here.
    assert.match(routes, new RegExp(`^unreachable 10\\.244\\.${NODES.indexOf(node) + 1}\\.0/24 proto 98 $`, "m"));
    assert.match(
      await lab.exec(`node/${node}`, "ip", "-6", "route"),
      /^unreachable fd00:10:244:\d::\/64 dev lo proto 98 /m,
    );
  }
  assert.match(await routesOf("node1"), /^10\.244\.2\.0\/24 via 10\.244\.2\.0 dev bwvxlan proto 98 onlink/m);
  await allReach();
});

test("breakwater bgp refused tells each prefix and its reason; announced, what asks for it; verify agrees", async () => {
  const refused = await program("node1", "bgp", "refused", "-o", "json");
  assert.equal(refused.code, 1);
  const report = JSON.parse(refused.stdout) as BgpPrefixReport;
  const reasons = new Map(report.sessions[0]?.prefixes.map(({ prefix, why }) => [prefix, why]));
  assert.deepEqual(
    ["0.0.0.0/0", "10.244.1.128/25", "10.244.2.128/25", "172.16.0.0/12"].map((prefix) => reasons.get(prefix)),
    [
      "it is a default route: none is ever taken",
      "it is inside 10.244.1.0/24, where this node's own pods are",
      "it is inside 10.244.2.0/24, to which this node has a route of its own",
      "it is no other node's pod CIDR, and not inside importAllow of BGPPeer tor1",
    ],
  );
  const announced = await program("node1", "bgp", "announced", "tor1");
  assert.equal(announced.code, 0, announced.stderr);
  assert.match(announced.stdout, /^tor1 +10\.244\.1\.0\/24 +pods of this node$/m);
  assert.match(announced.stdout, /^tor1 +198\.51\.100\.10\/32 +default\/web \(LoadBalancer\)$/m);
  const nobody = await program("node1", "bgp", "announced", "nobody");
  assert.deepEqual([nobody.code, nobody.stdout], [1, ""]);
  assert.match(nobody.stderr, /no BGP session with "nobody"/);
  const verified = await program("node1", "bgp", "verify");
  assert.deepEqual([verified.code, verified.stdout], [0, "Node node1: API, BIRD and kernel agree on 1 prefixes\n"]);
});

test("breakwater plan shows what of BIRD's configuration an object would change", async () => {
  const plan = () => program("node1", "plan", ...agentWords("node1").slice(1, 5), "--state-dir", stateDir("node1"));
  await eventually(SETTLED_MS, async () => {
    const { code, stdout, stderr } = await plan();
    assert.equal(code, 0, `${stdout}${stderr}`);
  });
  await lab.lab("fault", "add", "kill-agent", "--node", "node1");
  await lab.apply(peerOf("1", { communities: ["64512:7"] }));
  const { code, stdout } = await plan();
  assert.equal(code, 1, stdout);
  assert.match(stdout, /BIRD:\n {4}protocol bgp 'peer-tor1' \{\n/);
  assert.match(
    stdout,
    /\+ +if proto = "pods4" then \{ bgp_community\.add\(\(64512, 100\)\); bgp_community\.add\(\(64512, 7\)\); accept; \}/,
  );
  await lab.lab("fault", "clear", "kill-agent");
  await eventually(SESSION_MS, async () =>
    assert.match(await birdc("show", "route", "protocol", "node1", "all"), /\(64512,7\) \(64512,100\)/),
  );
});

const stateDir = (node: string) => join(lab.home.folder, "labs", "bgp-beside", "nodes", node, "run");

function agentWords(node: string, ...more: string[]): string[] {
  const home = join(lab.home.folder, "labs", "bgp-beside");
  return [
    ...["agent", "--node-name", node, "--kubeconfig", join(home, "node-kubeconfig"), "--state-dir", stateDir(node)],
    ...[
      "--cni-conf-dir",
      join(home, "nodes", node, "cni/net.d"),
      "--cni-bin-dir",
      join(home, "nodes", node, "cni/bin"),
    ],
    ...["--cni-chain", "none", ...more],
  ];
}

test("a node that routes by BGP among others has routes to all, and they to it: on its subnet and over the routers", async () => {
  const log = join(lab.home.folder, "agent-bgp.log");
  await lab.lab("fault", "add", "kill-agent", "--node", "node3");
  const words = agentWords("node3", "--routing", "bgp").join(" ");
  await lab.exec("node/node3", "sh", "-c", `${PROGRAM} ${words} > ${log} 2>&1 < /dev/null & echo $! > ${log}.pid`);
  await eventually(SESSION_MS, async () => {
    // On one subnet by the nodes' own routes, on both sides.
    assert.match(await routesOf("node1"), /^10\.244\.3\.0\/24 via 192\.168\.1\.13 dev eth0 proto 98/m);
    const routes = await routesOf("node3");
    assert.match(routes, /^10\.244\.1\.0\/24 via 192\.168\.1\.11 dev eth0 proto 98/m, readFileSync(log, "utf8"));
    // Over the router by BGP, on both sides: there is no tunnel.
    assert.match(routes, /^10\.244\.2\.0\/24 via 192\.168\.1\.1 dev eth0 proto bird/m);
    assert.match(await routesOf("node2"), /^10\.244\.3\.0\/24 via 192\.168\.2\.1 dev eth0 proto bird/m);
  });
  assert.doesNotMatch(await routesOf("node3"), /bwvxlan/);
  await allReach();
  await lab.exec("node/node3", "sh", "-c", `kill $(cat ${log}.pid)`);
  await lab.lab("fault", "clear", "kill-agent");
  await eventually(SESSION_MS, async () =>
    assert.match(await routesOf("node3"), /^10\.244\.2\.0\/24 via 10\.244\.2\.0 dev bwvxlan proto 98/m),
  );
  await allReach();
});

test("an entry of a node that does not exist is taken out of a BGPPeer's status, and no other", async () => {
  const nodesOf = async () => {
    const { status } = JSON.parse(await lab.kubectl("get", "bgppeer", "tor1", "-o", "json"));
    return status.sessions.map(({ node }: { node: string }) => node).sort();
  };
  const entry = {
    apiVersion: "breakwater.dev/v1alpha1",
    kind: "BGPPeer",
    metadata: { name: "tor1" },
    status: { sessions: [{ node: "gone", state: "Established" }] },
  };
  const file = lab.home.write("entry.json", JSON.stringify(entry));
  const words = ["--server-side", "--subresource=status", "--field-manager=breakwater-agent-gone", "-f", file];
  await lab.kubectl("apply", ...words);
  assert.deepEqual(await nodesOf(), ["gone", "node1", "node3"]);
  await eventually(PRUNED_MS, async () => assert.deepEqual(await nodesOf(), ["node1", "node3"]));
});

test("without its last BGPPeer a node ends BIRD and takes its routes away, and pods lose nothing", async () => {
  await lab.kubectl("delete", "bgppeer", "tor1", "tor2");
  for (const node of NODES) {
    await eventually(SETTLED_MS, async () => {
      assert.doesNotMatch(await routesOf(node), /proto bird|unreachable/);
      assert.doesNotMatch(await lab.exec(`node/${node}`, "ip", "-6", "route"), /proto bird|unreachable fd00:10:244/);
      assert.equal((await program(node, "bgp")).code, 2);
    });
  }
  assert.doesNotMatch(await birdc("show", "route"), /10\.244\.\d\.0\/24/);
  await allReach();
});
