import assert from "node:assert/strict";
import { test } from "node:test";
import type { Link, Route } from "../model/kernel-objects.ts";
import { DOOMED_GROUP, NFT_TABLE, VXLAN_DEVICE } from "../model/marks.ts";
import { fdbKey, neighbourKey, type Observed } from "../model/observed.ts";
import { formatOperation, type Operation } from "../model/operation.ts";
import type { DesiredState } from "../model/state.ts";
import { vtepMac } from "../plan/peers.ts";
import { planNode } from "../plan/plan.ts";
import { config, eth0, input, node, pod, scenarios } from "../plan/testing/scenarios.ts";
import { diffNode } from "./diff.ts";
import { observedAs } from "./testing/observed-as.ts";

function planned(given: Parameters<typeof planNode>[0]): DesiredState {
  const result = planNode(given);
  assert.ok("state" in result);
  return result.state;
}

const twoSubnets = scenarios["three-nodes-two-subnets"] as Parameters<typeof planNode>[0];
const text = (operations: readonly Operation[]) => operations.map(formatOperation);

const empty: Observed = {
  links: new Map(),
  linksByIndex: new Map(),
  podEndMtus: new Map(),
  addresses: new Map(),
  routes: new Map(),
  neighbours: new Map(),
  fdb: new Map(),
  sysctls: new Map(),
  features: new Map(),
  nft: undefined,
};

test("diffNode() asks for nothing when nothing differs", () => {
  for (const [name, given] of Object.entries(scenarios)) {
    const result = planNode(given);
    if ("state" in result) assert.deepEqual(diffNode(result.state, observedAs(result.state)), [], name);
  }
});

test("diffNode() builds from nothing: what carries first, what uses it behind", () => {
  const operations = diffNode(planned(twoSubnets), empty);
  assert.deepEqual(
    operations.map((operation) => operation.do),
    [
      "setSysctl",
      "setSysctl",
      "setSysctl",
      "createVxlan",
      "attachPod",
      // The device's own, which are there once it is.
      "setSysctl",
      "setFeature",
      "changeNft",
      "addAddress",
      "setFdb",
      "setNeighbour",
      "setNeighbour",
      "setRoute",
      "setRoute",
      "setRoute",
    ],
  );
  assert.ok(operations.every(({ cause }) => cause !== ""));
});

test("diffNode() takes away in the other order, behind what it adds", () => {
  const now = planned(twoSubnets);
  const next = planned({ ...twoSubnets, nodes: new Map([...twoSubnets.nodes].filter(([name]) => name !== "node2")) });
  const changed = planned({ ...twoSubnets, nodes: new Map(twoSubnets.nodes).set("node4", node(4, ["192.168.1.4"])) });
  assert.deepEqual(text(diffNode(next, observedAs(now))), [
    `set mtu 1500 on ${now.pods[0]?.hostIfname} and the pod's eth0`,
    "change nftables table: flushChain postrouting; addRule postrouting",
    "delete route 10.244.2.0/24 via 10.244.2.0 dev bwvxlan onlink",
    "delete neighbour 10.244.2.0 dev bwvxlan",
    `delete fdb ${vtepMac("node2")} dst 192.168.2.2 dev bwvxlan`,
    "delete link bwvxlan",
    "change nftables table: deleteElements cluster4 { 10.244.2.0/24 }",
  ]);
  const both = diffNode(changed, observedAs(next)).map((operation) => operation.do);
  assert.ok(both.indexOf("setRoute") > both.indexOf("setFdb"));
  const mixed = diffNode({ ...changed, routes: changed.routes.slice(1) }, observedAs(now)).map(({ do: kind }) => kind);
  assert.ok(mixed.lastIndexOf("setRoute") < mixed.indexOf("deleteRoute"), "add before delete");
});

/** One thing of node2 differs -> what is asked for. */
const single: [string, (state: DesiredState) => DesiredState, string[]][] = [
  [
    "a route's gateway",
    (s) => ({
      ...s,
      routes: s.routes.map((r) => (r.destination === "10.244.3.0/24" ? { ...r, gateway: "192.168.1.9" } : r)),
    }),
    ["set route 10.244.3.0/24 via 192.168.1.9 dev eth0"],
  ],
  [
    "a route's MTU",
    (s) => ({ ...s, routes: s.routes.map((r) => (r.destination === "10.244.2.0/24" ? { ...r, mtuBytes: 1400 } : r)) }),
    ["set route 10.244.2.0/24 via 10.244.2.0 dev bwvxlan onlink mtu 1400"],
  ],
  [
    "a peer's address",
    (s) => ({ ...s, fdb: s.fdb.map((f) => ({ ...f, destination: "192.168.2.9" })) }),
    [`set fdb ${vtepMac("node2")} dst 192.168.2.9 dev bwvxlan`],
  ],
  [
    "a neighbour's MAC",
    (s) => ({
      ...s,
      neighbours: s.neighbours.map((n) => (n.device === VXLAN_DEVICE ? { ...n, mac: "02:00:00:00:00:09" } : n)),
    }),
    ["set neighbour 10.244.2.0 lladdr 02:00:00:00:00:09 dev bwvxlan"],
  ],
  [
    "the VXLAN device's MTU",
    (s) => ({ ...s, vxlan: s.vxlan && { ...s.vxlan, mtuBytes: 1400 } }),
    ["change link bwvxlan: mtuBytes 1400"],
  ],
  ["the node's own range", (s) => ({ ...s, addresses: [] }), ["delete address 10.244.1.0/32 dev bwvxlan"]],
  [
    "a sysctl",
    (s) => ({ ...s, sysctls: [{ name: "net/ipv4/ip_forward", value: "2", cause: "test" }] }),
    ["set sysctl net/ipv4/ip_forward to 2 (was 1)"],
  ],
  [
    "a feature",
    (s) => ({ ...s, features: s.features.map((feature) => ({ ...feature, on: true })) }),
    ["set feature rx-gro on dev bwvxlan"],
  ],
];

for (const [name, change, expected] of single) {
  test(`diffNode() changes one thing: ${name}`, () => {
    const state = planned(twoSubnets);
    assert.deepEqual(text(diffNode(change(state), observedAs(state))), expected);
  });
}

test("diffNode() sets the features of a device that is new or tells nothing, and none where the kernel has none", () => {
  const state = planned(twoSubnets);
  const whole = observedAs(state);
  const changes = (observed: Observed) =>
    text(diffNode(state, observed)).filter((line) => line.startsWith("set feature"));
  const off = "set feature rx-gro off dev bwvxlan";
  const links = new Map([...whole.links].filter(([name]) => name !== VXLAN_DEVICE));
  assert.deepEqual(changes({ ...whole, links }), [off], "what was seen was the old device's");
  assert.deepEqual(changes({ ...whole, features: new Map() }), [off]);
  assert.deepEqual(changes({ ...whole, links, features: undefined }), []);
});

test("diffNode() makes a VXLAN device anew for what a living one cannot change, with all that hangs on it", () => {
  const state = planned(twoSubnets);
  assert.ok(state.vxlan);
  for (const change of [{ vni: 7 }, { port: 8472 }, { local: "192.168.1.9" }, { underlayIndex: 9 }]) {
    const operations = diffNode({ ...state, vxlan: { ...state.vxlan, ...change } }, observedAs(state));
    assert.deepEqual(
      operations.map((operation) => operation.do),
      ["deleteLink", "createVxlan", "setFeature", "addAddress", "setFdb", "setNeighbour", "setRoute"],
      JSON.stringify(change),
    );
  }
});

test("a pod's own end that somebody changed is put right; one that nobody looked at is left alone", () => {
  const state = planned(twoSubnets);
  const observed = observedAs(state);
  const [pod] = state.pods;
  assert.ok(pod);
  const name = pod.hostIfname;
  const changed = { ...observed, podEndMtus: new Map([...observed.podEndMtus, [name, 9000] as const]) };
  assert.deepEqual(text(diffNode(state, changed)), [`set mtu ${pod.mtuBytes} on ${name} and the pod's eth0`]);
  assert.deepEqual(diffNode(state, { ...observed, podEndMtus: new Map() }), []);
});

/** Replaces or adds links by name. */
function withLinks(observed: Observed, ...links: Link[]): Observed {
  const all = new Map(observed.links);
  for (const link of links) all.set(link.name, link);
  return { ...observed, links: all, linksByIndex: new Map([...all.values()].map((link) => [link.index, link])) };
}

test("diffNode() takes a doomed link for none, and leaves deleting it to the reaper", () => {
  const state = planned(twoSubnets);
  const observed = observedAs(state);
  const link = observed.links.get(state.pods[0]?.hostIfname ?? "");
  assert.ok(link);
  const doomed = withLinks(observed, { ...link, group: DOOMED_GROUP, up: false });
  assert.equal(diffNode(state, doomed)[0]?.do, "attachPod");
  const gone = { ...state, pods: [], routes: state.routes.slice(1), neighbours: state.neighbours.slice(0, 1) };
  assert.ok(diffNode(gone, doomed).every((operation) => operation.do !== "deleteLink"));
});

test("diffNode() never touches what is not ours", () => {
  const state = planned(twoSubnets);
  const base = observedAs(state);
  const foreign: Link = {
    index: 77,
    name: "cni0",
    kind: "bridge",
    mac: "02:00:00:00:00:77",
    mtuBytes: 1500,
    up: true,
    carrier: true,
    group: 0,
    peerIndex: undefined,
    master: undefined,
    vxlan: undefined,
  };
  const flannel: Link = { ...foreign, index: 78, name: "flannel.1", kind: "vxlan" };
  const bond: Link = { ...foreign, index: 79, name: "bwbond0", kind: "bond" };
  const neighbours = [77, 78].map((index) => ({ index, ip: "10.9.0.1", mac: "02:00:00:00:00:01", permanent: true }));
  const entry = { index: 78, mac: "02:00:00:00:00:01", destination: "192.168.9.9" };
  const linkLocal = {
    index: base.links.get(VXLAN_DEVICE)?.index ?? 0,
    address: "fe80::1",
    length: 64,
    scope: "link",
  } as const;
  const observed: Observed = {
    ...withLinks(base, foreign, flannel, bond),
    neighbours: new Map([...base.neighbours, ...neighbours.map((n) => [neighbourKey(n), n] as const)]),
    fdb: new Map([...base.fdb, [fdbKey(entry), entry]]),
    addresses: new Map([...base.addresses, ["x", linkLocal], ["y", { ...linkLocal, index: 77, scope: "global" }]]),
  };
  assert.deepEqual(diffNode(state, observed), []);
  const touched = JSON.stringify(
    diffNode({ ...state, vxlan: undefined, routes: [], neighbours: [], fdb: [], pods: [], addresses: [] }, observed),
  );
  assert.doesNotMatch(touched, /cni0|flannel|bwbond0|10\.9\.0\.1|192\.168\.9\.9|fe80::1/);
});

test("diffNode() deletes an observed route whose device is gone, without naming a device", () => {
  const state = planned(twoSubnets);
  const stray: Route = {
    destination: "10.99.0.0/16",
    gateway: "10.0.0.1",
    oif: 4242,
    source: undefined,
    table: 254,
    protocol: 98,
    scope: "universe",
    type: "unicast",
    onlink: false,
    mtuBytes: undefined,
    metric: undefined,
  };
  const observed = observedAs(state);
  const routes = new Map([...observed.routes, [stray.destination, stray]]);
  assert.deepEqual(text(diffNode(state, { ...observed, routes })), ["delete route 10.99.0.0/16 via 10.0.0.1"]);
});

test("diffNode() does work in proportion to the change: one node added to 10, 100 and 1,000", (t) => {
  const counts: number[] = [];
  for (const size of [10, 100, 1000]) {
    const nodes = Array.from({ length: size }, (_, i) => {
      const [high, low] = [(i + 1) >> 8, (i + 1) & 255];
      const ip = i === 0 ? "192.168.1.1" : `192.168.${100 + high}.${low}`;
      return { ...node(i + 1, [ip]), podCidrs: [`10.${64 + high}.${low}.0/24`] };
    });
    const one = { ...node(5000, ["192.168.200.1"]), podCidrs: ["10.200.0.0/24"] };
    const before = observedAs(planned(input({ nodes })));
    const after = planned(input({ nodes: [...nodes, one] }));
    const started = performance.now();
    const operations = diffNode(after, before);
    t.diagnostic(`${size} nodes: ${operations.length} operations in ${(performance.now() - started).toFixed(2)} ms`);
    counts.push(operations.length);
    const elements = operations.flatMap((o) => (o.do === "changeNft" ? o.changes : []));
    assert.deepEqual(
      elements.map((change) => change.do),
      ["addElements"],
    );
    assert.ok("elements" in (elements[0] ?? {}) && JSON.stringify(elements).includes("10.200.0.0/24"));
  }
  // Forwarding entry, neighbour, route, and one element of a set.
  assert.deepEqual(counts, [4, 4, 4]);
});

test("diffNode() removes our table when nothing is wanted in it, and asks for none where there is none", () => {
  const oneSubnet = { ...twoSubnets, config: { ...config, routing: "direct" as const } };
  const off = planned({ ...oneSubnet, config: { ...oneSubnet.config, masquerade: false } });
  assert.deepEqual(text(diffNode(off, observedAs(planned(oneSubnet)))), ["change nftables table: deleteTable"]);
  const without = observedAs(off);
  assert.equal(without.nft, undefined);
  assert.deepEqual(diffNode(off, without), []);
  assert.deepEqual(NFT_TABLE.family, off.nft.family);
});

test("diffNode() attaches every pod of a node whose links are gone, and one whose link alone is", () => {
  const pods = [1, 2, 3].map((number) => pod(number));
  const state = planned(input({ nodes: [node(1, ["192.168.1.1"])], pods, interfaces: [eth0()] }));
  const attached = (observed: Observed) =>
    diffNode(state, observed).flatMap((o) => (o.do === "attachPod" ? [o.pod.name] : []));
  assert.deepEqual(attached(empty), ["default/pod1", "default/pod2", "default/pod3"]);
  const observed = observedAs(state);
  const links = new Map(observed.links);
  links.delete(state.pods[1]?.hostIfname ?? "");
  assert.deepEqual(attached({ ...observed, links }), ["default/pod2"]);
});

test("diffNode() sets, mends and deletes the route that ends what no pod has; of its device the kernel may say what it likes", () => {
  const state = planned(scenarios["bgp-beside-auto"] as Parameters<typeof planNode>[0]);
  const observed = observedAs(state);
  const own = observed.routes.get("10.244.1.0/24");
  assert.ok(own);
  const having = (route: Route | undefined) => {
    const routes = new Map(observed.routes);
    if (route === undefined) routes.delete("10.244.1.0/24");
    else routes.set("10.244.1.0/24", route);
    return { ...observed, routes };
  };
  const set = ["set route unreachable 10.244.1.0/24"];
  assert.deepEqual(text(diffNode(state, having(undefined))), set);
  assert.deepEqual(text(diffNode(state, having({ ...own, oif: 1 }))), []);
  assert.deepEqual(text(diffNode(state, having({ ...own, type: "unicast", oif: 2 }))), set);
  const without = { ...state, routes: state.routes.filter(({ type }) => type === undefined) };
  assert.deepEqual(text(diffNode(without, observed)), ["delete route unreachable 10.244.1.0/24"]);
});

test("diffNode() keeps its own route to a node whose routes are BGP's from now on until BGP's is there", () => {
  const nodes = [node(1, ["192.168.1.1"]), node(2, ["192.168.1.2"])];
  const auto = planned(input({ nodes, interfaces: [eth0()] }));
  const bgp = planned(input({ nodes, interfaces: [eth0()], config: { ...config, routing: "bgp" } }));
  const observed = observedAs(auto);
  const deletions = (given: Observed) => text(diffNode(bgp, given)).filter((each) => each.startsWith("delete route"));
  const gone = ["delete route 10.244.2.0/24 via 192.168.1.2 dev eth0"];
  assert.deepEqual(deletions({ ...observed, learned: new Set() }), []);
  assert.deepEqual(deletions({ ...observed, learned: new Set(["10.244.3.0/24"]) }), []);
  assert.deepEqual(deletions({ ...observed, learned: new Set(["10.244.2.0/24"]) }), gone);
  // A node that is gone has no route to wait for.
  const alone = planned(
    input({ nodes: nodes.slice(0, 1), interfaces: [eth0()], config: { ...config, routing: "bgp" } }),
  );
  assert.deepEqual(
    text(diffNode(alone, { ...observed, learned: new Set() })).filter((each) => each.startsWith("delete route")),
    gone,
  );
});
