/** The agent's loop on the real kernel: what somebody breaks with ip(8), bridge(8) and nft(8) is whole within a second. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { createMetrics } from "../../src/agent/metrics.ts";
import { Mirror } from "../../src/agent/mirror.ts";
import { NodeNetwork } from "../../src/agent/node-network.ts";
import { createPodLinks } from "../../src/agent/pod-links.ts";
import { Reconciler } from "../../src/agent/reconciler.ts";
import { describeRoutes } from "../../src/agent/testing/host-text.ts";
import { attachment, clusterNode, defaultConfig } from "../../src/agent/testing/node-rig.ts";
import type { Kernel } from "../../src/kernel/kernel.ts";
import type { ClusterNode } from "../../src/model/cluster.ts";
import { NFT_TABLE } from "../../src/model/marks.ts";
import { vtepMac } from "../../src/plan/peers.ts";
import { hostIfname } from "../../src/plan/pods.ts";
import { namespaceKernel } from "./namespace-kernel.ts";
import { linkOf, type TestNamespace, testNamespace } from "./namespaces.ts";

const metrics = createMetrics();
const POD = hostIfname(attachment(1).containerId, "eth0");
const FAR = vtepMac("node3");
/** What the README promises. */
const LIMIT_MS = 1000;
const PATIENCE_MS = 5000;

interface Node {
  readonly ns: TestNamespace;
  readonly pod: TestNamespace;
  readonly kernel: Kernel;
  readonly changes: string[];
  readonly nodes: Map<string, ClusterNode>;
  start(): { readonly reconciler: Reconciler; readonly network: NodeNetwork };
  text(): string;
  /** Waits for rounds until the state is this one. @returns milliseconds */
  until(whole: string): Promise<number>;
}

async function wholeNode(t: TestContext): Promise<Node> {
  const ns = testNamespace(t, "node");
  const pod = testNamespace(t, "pod");
  ns.run(() => {
    const script = [
      "ip link add eth0 address 02:00:00:00:00:01 type veth peer name wire",
      "ip link set wire up; ip link set eth0 up",
      "ip address add 192.168.1.1/24 dev eth0; ip address add fd00:1::1/64 dev eth0 nodad",
    ].join("; ");
    assert.equal(spawnSync("sh", ["-ec", script], { encoding: "utf8" }).stderr, "");
  });
  const kernel = namespaceKernel(ns);
  const rounds = new EventTarget();
  const changes: string[] = [];
  const running: Disposable[] = [];
  t.after(() => {
    for (const loop of running) loop[Symbol.dispose]();
    kernel[Symbol.dispose]();
  });
  const nodes = new Map([1, 2, 3].map((number) => [`node${number}`, clusterNode(number)] as const));
  const value = { ...attachment(1), netns: pod.path };
  const start = () => {
    for (const loop of running.splice(0)) loop[Symbol.dispose]();
    const mirror = new Mirror(kernel);
    const podLinks = createPodLinks(kernel, mirror);
    const status = () => reconciler.status;
    const onError = (error: unknown) => void changes.push(String(error));
    const network = new NodeNetwork({ kernel, mirror, podLinks, status, onError });
    const reconciler: Reconciler = new Reconciler({
      kernel,
      mirror,
      config: defaultConfig,
      nodes: () => nodes,
      pods: () => network.pods(),
      podLinks,
      log: {
        debug: () => undefined,
        info: (_fields, message) => void changes.push(message),
        warn: (_fields, message) => void changes.push(message),
        error: (_fields, message) => void changes.push(message),
      },
      metrics,
      onRound: () => rounds.dispatchEvent(new Event("round")),
    });
    running.push(reconciler);
    if (changes.length > 0) network.adopt([value]);
    reconciler.run();
    return { reconciler, network };
  };
  const text = () => describeNode(kernel, pod);
  const until = async (whole: string) => {
    const started = performance.now();
    const signal = AbortSignal.timeout(PATIENCE_MS);
    while (text() !== whole) {
      await once(rounds, "round", { signal }).catch(() => assert.equal(text(), whole, "not repaired in time"));
    }
    return performance.now() - started;
  };
  await start().network.attach(value);
  return { ns, pod, kernel, changes, nodes, start, text, until };
}

const SYSCTLS = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/bwvxlan/rp_filter"];

/** Without what the kernel does by itself and in its own time: dynamic neighbours, link-local addresses. */
function describeNode(kernel: Kernel, pod: TestNamespace): string {
  const own = (line: string) =>
    !/^address fe80|^route (fe80|ff00)|^neighbour .*dev \S+ $|^link (wire|eth0) veth/.test(line) &&
    !(line.startsWith("fdb ") && !line.includes("bwvxlan"));
  const sysctls = SYSCTLS.map((name) => kernel.sysctl.read(name));
  return [
    ...describeRoutes(kernel.routes).filter(own),
    JSON.stringify(kernel.nftables.table(NFT_TABLE)),
    ...sysctls,
    `bwvxlan rx-gro ${kernel.features.read("bwvxlan", "rx-gro")}`,
    `pod eth0 mtu ${pod.routes.link("eth0")?.mtuBytes}`,
    ...describeRoutes(pod.routes)
      .filter(own)
      .map((line) => `pod: ${line}`),
  ].join("\n");
}

const damages: Readonly<Record<string, string>> = {
  "a direct route is deleted": "ip route del 10.244.2.0/24",
  "a VXLAN route is deleted": "ip route del 10.244.3.0/24",
  "an IPv6 route is deleted": "ip -6 route del fd00:10:244:3::/64",
  "a route is replaced": "ip route replace 10.244.2.0/24 via 192.168.1.77",
  "an IPv6 VXLAN route is replaced": "ip -6 route replace fd00:10:244:3::/64 dev eth0",
  "every route of ours is flushed": "ip route flush proto 98; ip -6 route flush proto 98",
  "a forwarding entry is deleted": `bridge fdb del ${FAR} dev bwvxlan dst 192.168.2.3`,
  "a forwarding entry leads elsewhere": `bridge fdb replace ${FAR} dev bwvxlan dst 192.168.2.99`,
  "a forwarding entry is added": "bridge fdb append 00:00:00:00:00:00 dev bwvxlan dst 192.168.2.99",
  "a neighbour is deleted": "ip neigh del 10.244.3.0 dev bwvxlan",
  "a neighbour has another MAC": "ip neigh replace 10.244.3.0 lladdr 02:99:00:00:00:01 dev bwvxlan",
  "the VXLAN device is deleted": "ip link del bwvxlan",
  "the VXLAN device goes down": "ip link set bwvxlan down",
  "the VXLAN device goes down and up": "ip link set bwvxlan down; ip link set bwvxlan up",
  "the VXLAN device's MTU is lowered": "ip link set bwvxlan mtu 1300",
  "the VXLAN device's MAC is changed": "ip link set bwvxlan address 02:99:00:00:00:02",
  "the VXLAN device's receive offload is switched on": "ethtool -K bwvxlan gro on",
  "the VXLAN device is made anew with checksums and its receive offload":
    "ip link del bwvxlan; ip link add bwvxlan up type vxlan id 4098 local 192.168.1.1 dev eth0 dstport 4789 nolearning udpcsum",
  "the VTEP's addresses are flushed": "ip address flush dev bwvxlan",
  "the nftables table is deleted": "nft delete table inet breakwater",
  "our chain is flushed": "nft flush chain inet breakwater postrouting",
  "a rule is added to our chain": "nft add rule inet breakwater postrouting drop",
  "an element is deleted": "nft delete element inet breakwater cluster4 { 10.244.2.0/24 }",
  "forwarding is switched off": "echo 0 > /proc/sys/net/ipv4/ip_forward",
  "the tunnel's reverse path filter becomes strict": "echo 1 > /proc/sys/net/ipv4/conf/bwvxlan/rp_filter",
  "a pod's link is deleted": `ip link del ${POD}`,
  "a pod's link goes down": `ip link set ${POD} down`,
  "a pod's route is deleted": "ip route del 10.244.1.2/32",
  "a pod's neighbour is deleted": `ip neigh del 10.244.1.2 dev ${POD}`,
  "somebody gives a pod's own end another MTU": "nsenter --net=$POD ip link set eth0 mtu 9000",
  "somebody gives both ends of a pod's link another MTU": `ip link set ${POD} mtu 9000; nsenter --net=$POD ip link set eth0 mtu 9000`,
  "the underlay loses its address and gets it back":
    "ip address del 192.168.1.1/24 dev eth0; ip address add 192.168.1.1/24 dev eth0",
  "the underlay goes down and up":
    "ip link set eth0 down; ip link set eth0 up; ip address add fd00:1::1/64 dev eth0 nodad",
};

for (const [damage, command] of Object.entries(damages)) {
  test(`the agent repairs within a second: ${damage}`, async (t) => {
    const node = await wholeNode(t);
    const whole = node.text();
    assert.match(whole, /route 10\.244\.3\.0\/24/);
    assert.match(whole, /^bwvxlan rx-gro false$/m);
    assert.match(whole, /^link bwvxlan .*"udpChecksum":false/m);
    const env = { ...process.env, POD: node.pod.path };
    const done = node.ns.run(() => spawnSync("sh", ["-ec", command], { encoding: "utf8", env }));
    assert.deepEqual([done.status, done.stderr], [0, ""], command);
    assert.notEqual(node.text(), whole, "the damage shows");
    const elapsedMs = await node.until(whole);
    t.diagnostic(`whole after ${elapsedMs.toFixed(0)} ms`);
    assert.ok(elapsedMs < LIMIT_MS, `${elapsedMs} ms`);
    node.changes.splice(0, node.changes.length, "restart");
    assert.deepEqual(node.start().reconciler.status.failures, []);
    assert.deepEqual(node.changes, ["restart"], "the next agent changes nothing");
    assert.equal(node.text(), whole);
    assert.equal(linkOf(node.ns, "bwvxlan").mtuBytes, 1450);
  });
}

test("the agent follows a peer that moves behind a router and back, over IPv4 and IPv6", async (t) => {
  const node = await wholeNode(t);
  const whole = node.text();
  const routesTo = (device: string) =>
    node.text().match(new RegExp(`^route (10.244.2.0/24|fd00:10:244:2::/64) via \\S+ dev ${device} `, "gm"))?.length;
  assert.equal(routesTo("eth0"), 2);
  node.nodes.set("node2", clusterNode(2, { internalIps: ["192.168.9.2", "fd00:9::2"] }));
  const { reconciler } = node.start();
  assert.deepEqual([reconciler.status.failures, routesTo("eth0"), routesTo("bwvxlan")], [[], undefined, 2]);
  node.nodes.set("node2", clusterNode(2));
  assert.deepEqual(reconciler.run().failures, []);
  assert.equal(node.text(), whole);
});

test("the agent plans and applies a thousand nodes, and one more by as many changes as one needs", async (t) => {
  const node = await wholeNode(t);
  for (let number = 4; number < 1000; number++) {
    const [high, low] = [number >> 8, number & 255];
    const internalIps = [`192.168.${100 + high}.${low}`, `fd00:${(100 + number).toString(16)}::1`];
    const podCidrs = [`10.${64 + high}.${low}.0/24`, `fd00:11:${number.toString(16)}::/64`];
    node.nodes.set(`node${number}`, clusterNode(number, { internalIps, podCidrs }));
  }
  let started = performance.now();
  const { reconciler } = node.start();
  t.diagnostic(`a thousand nodes: ${(performance.now() - started).toFixed(0)} ms`);
  assert.deepEqual(reconciler.status.failures, []);
  assert.equal(node.kernel.routes.routes({ protocol: 98 }).length, 2 * 998 + 2);
  node.changes.length = 0;
  node.nodes.set("node1000", clusterNode(1000, { internalIps: ["192.168.200.1"], podCidrs: ["10.200.0.0/24"] }));
  started = performance.now();
  assert.deepEqual(reconciler.run().failures, []);
  t.diagnostic(`one more: ${(performance.now() - started).toFixed(1)} ms`);
  assert.equal(node.changes.length, 4, node.changes.join("\n"));
});
