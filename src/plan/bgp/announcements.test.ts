/** Tables of Services and endpoints, and what node1 announces of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNode } from "../../model/cluster.ts";
import type { ClusterService, EndpointSlice, SliceEndpoint } from "../../model/service.ts";
import { serviceKey } from "../../model/service.ts";
import { anEndpoint, aService, aSlice } from "../services/testing/objects.ts";
import { type AnnouncementInput, AnnouncementPlanner } from "./announcements.ts";

const node = (name: string, index: number, labels: Record<string, string> = {}): ClusterNode => ({
  name,
  internalIps: [`192.168.1.1${index}`],
  podCidrs: [`10.244.${index}.0/24`],
  labels,
});
const NODES = new Map(["node1", "node2"].map((name, i) => [name, node(name, i + 1)]));
const ALL = { clusterIPs: true, externalIPs: true, loadBalancerIPs: true, within: ["192.0.2.0/24", "2001:db8::/32"] };
const EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers";
const NONE = { clusterIPs: false, externalIPs: false, loadBalancerIPs: false };
const BALANCED = { type: "LoadBalancer", clusterIps: [], loadBalancerIps: ["192.0.2.1"] } as const;
const here = (fields: Partial<SliceEndpoint> = {}) => anEndpoint("10.244.1.5", { nodeName: "node1", ...fields });
const there = (fields: Partial<SliceEndpoint> = {}) => anEndpoint("10.244.2.5", { nodeName: "node2", ...fields });
const goes = { ready: false, serving: true, terminating: true };

function input(
  service: Partial<ClusterService>,
  endpoints: readonly SliceEndpoint[],
  fields: Partial<AnnouncementInput> = {},
): AnnouncementInput {
  const slices = endpoints.length === 0 ? [] : [aSlice(endpoints)];
  return {
    node: node("node1", 1),
    nodes: NODES,
    advertise: ALL,
    services: new Map([["default/web", aService(service)]]),
    slicesOf: () => slices,
    ...fields,
  };
}

function run(of: AnnouncementInput) {
  const { announced, withheld } = new AnnouncementPlanner().plan(of);
  return [announced.map(({ prefix }) => prefix), withheld.map(({ address, why }) => `${address}: ${why}`)];
}

const NO_LOCAL = "its traffic policy is Local, and no ready endpoint is on node node1";
const OUTSIDE = "it is outside advertise.within of the BGPConfiguration";
const local = { ...BALANCED, externalPolicy: "Local" } as const;
const TABLE: readonly [string, AnnouncementInput, readonly string[], readonly string[]][] = [
  [
    "every kind that is asked for",
    input({ ...BALANCED, clusterIps: ["192.0.2.9"], externalIps: ["192.0.2.5"] }, [there()]),
    ["192.0.2.1/32", "192.0.2.5/32", "192.0.2.9/32"],
    [],
  ],
  [
    "no kind that is not",
    input({ ...BALANCED, clusterIps: ["192.0.2.9"], externalIps: ["192.0.2.5"] }, [there()], {
      advertise: { ...ALL, externalIPs: false, clusterIPs: false },
    }),
    ["192.0.2.1/32"],
    [],
  ],
  ["nothing by default", input({ ...BALANCED, externalIps: ["192.0.2.5"] }, [there()], { advertise: NONE }), [], []],
  [
    "both families, each by its own endpoints",
    input({ ...BALANCED, loadBalancerIps: ["192.0.2.1", "2001:db8::1"] }, [here()]),
    ["192.0.2.1/32"],
    ["2001:db8::1: no endpoint serves it"],
  ],
  [
    "an IPv6 address as /128",
    input({ ...BALANCED, loadBalancerIps: ["2001:db8::1"] }, [anEndpoint("fd00::5")]),
    ["2001:db8::1/128"],
    [],
  ],

  ["nothing without endpoints", input(BALANCED, []), [], ["192.0.2.1: no endpoint serves it"]],
  ["nothing while none is ready", input(BALANCED, [there({ ready: false })]), [], ["192.0.2.1: no endpoint serves it"]],
  ["policy Cluster: from every node while one is ready anywhere", input(BALANCED, [there()]), ["192.0.2.1/32"], []],
  ["policy Cluster: while the last ones terminate and serve", input(BALANCED, [there(goes)]), ["192.0.2.1/32"], []],
  [
    "policy Cluster: not for one that terminates and does not serve",
    input(BALANCED, [there({ ...goes, serving: false })]),
    [],
    ["192.0.2.1: no endpoint serves it"],
  ],
  ["policy Local: where a ready endpoint is", input(local, [here()]), ["192.0.2.1/32"], []],
  ["policy Local: not where none is", input(local, [there()]), [], [`192.0.2.1: ${NO_LOCAL}`]],
  [
    "policy Local: not where one is that is not ready",
    input(local, [here({ ready: false }), there()]),
    [],
    [`192.0.2.1: ${NO_LOCAL}`],
  ],
  [
    "policy Local: not any more when the last one terminates, though it serves",
    input(local, [here(goes), there()]),
    [],
    [`192.0.2.1: ${NO_LOCAL}`],
  ],
  [
    "policy Local: still while another one here is ready",
    input(local, [here(goes), here({ address: "10.244.1.6" })]),
    ["192.0.2.1/32"],
    [],
  ],
  [
    "policy Local: by endpoints of the address's family",
    input({ ...local, loadBalancerIps: ["2001:db8::1"] }, [here()]),
    [],
    [`2001:db8::1: ${NO_LOCAL}`],
  ],
  [
    "an external IP by externalTrafficPolicy",
    input({ clusterIps: [], externalIps: ["192.0.2.5"], externalPolicy: "Local" }, [there()]),
    [],
    [`192.0.2.5: ${NO_LOCAL}`],
  ],
  [
    "a ClusterIP by internalTrafficPolicy",
    input({ clusterIps: ["192.0.2.9"], externalPolicy: "Local" }, [there()]),
    ["192.0.2.9/32"],
    [],
  ],
  [
    "a ClusterIP with internalTrafficPolicy Local",
    input({ clusterIps: ["192.0.2.9"], internalPolicy: "Local" }, [there()]),
    [],
    [`192.0.2.9: ${NO_LOCAL}`],
  ],

  [
    "nothing outside what is allowed",
    input({ ...BALANCED, loadBalancerIps: ["203.0.113.1"], externalIps: ["8.8.8.8"] }, [here()]),
    [],
    [`203.0.113.1: ${OUTSIDE}`, `8.8.8.8: ${OUTSIDE}`],
  ],
  [
    "without limits everything but external IPs",
    input(
      { ...BALANCED, loadBalancerIps: ["203.0.113.1"], clusterIps: ["10.96.0.1"], externalIps: ["8.8.8.8"] },
      [here()],
      { advertise: { ...NONE, clusterIPs: true, externalIPs: true, loadBalancerIPs: true } },
    ),
    ["10.96.0.1/32", "203.0.113.1/32"],
    [`8.8.8.8: ${OUTSIDE}`],
  ],
  [
    "no external IP that a node has",
    input({ clusterIps: [], externalIps: ["192.168.1.12"] }, [here()], {
      advertise: { ...ALL, within: ["192.168.0.0/16"] },
    }),
    [],
    ["192.168.1.12: it is an address of node node2"],
  ],
  [
    "no external IP that a pod may have",
    input({ clusterIps: [], externalIps: ["10.244.2.7"] }, [here()], { advertise: { ...ALL, within: ["10.0.0.0/8"] } }),
    [],
    ["10.244.2.7: it is inside 10.244.2.0/24, where pods of node node2 have their addresses"],
  ],
  [
    "no balancer's address from a node that is left out",
    input(BALANCED, [here()], {
      node: node("node1", 1, { [EXCLUDED]: "" }),
    }),
    [],
    ["192.0.2.1: node node1 has the label node.kubernetes.io/exclude-from-external-load-balancers"],
  ],
  ["nothing that another proxy serves", input({ ...BALANCED, leftTo: { proxy: "x" } }, [here()]), [], []],
  ["nothing of a name", input({ type: "ExternalName", externalIps: ["192.0.2.5"] }, [here()]), [], []],
];
for (const [name, of, announced, withheld] of TABLE) {
  test(`AnnouncementPlanner announces ${name}`, () => assert.deepEqual(run(of), [announced, withheld]));
}

test("AnnouncementPlanner announces an address that several Services share once, with all reasons", () => {
  const services = ["b", "a"].map((name) => aService({ ...BALANCED, name, clusterIps: [] }));
  const of = input({}, [here()], { services: new Map(services.map((each) => [serviceKey(each), each])) });
  assert.deepEqual(new AnnouncementPlanner().plan(of).announced, [
    {
      prefix: "192.0.2.1/32",
      reasons: [
        { service: "default/a", kind: "LoadBalancer" },
        { service: "default/b", kind: "LoadBalancer" },
      ],
    },
  ]);
});

test("AnnouncementPlanner that remembers says what a new one says, whatever came before", () => {
  let state = 7;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const old = new AnnouncementPlanner();
  let services = new Map<string, ClusterService>();
  const slices = new Map<string, readonly EndpointSlice[]>();
  const none: readonly EndpointSlice[] = [];
  let own = node("node1", 1);
  let nodes: ReadonlyMap<string, ClusterNode> = NODES;
  for (let step = 0; step < 1000; step++) {
    const name = `s${random(6)}`;
    const key = `default/${name}`;
    services = new Map(services);
    const what = random(3);
    if (random(5) === 0) services.delete(key);
    else if (what === 0) {
      const externalPolicy = random(2) === 0 ? "Local" : "Cluster";
      const ips = { loadBalancerIps: [`192.0.2.${random(4)}`], externalIps: random(2) === 0 ? ["192.0.2.77"] : [] };
      services.set(key, aService({ ...BALANCED, name, externalPolicy, ...ips }));
    }
    const endpoints = [here({ ready: random(2) === 0 }), there(random(3) === 0 ? goes : {})].filter(
      () => random(3) > 0,
    );
    if (what === 1) slices.set(key, endpoints.length === 0 ? [] : [aSlice(endpoints)]);
    const advertise = random(10) === 0 ? { ...ALL, within: ["192.0.2.0/31"] } : ALL;
    if (random(8) === 0) own = node("node1", 1, random(2) === 0 ? { [EXCLUDED]: "" } : {});
    if (random(8) === 0)
      nodes = new Map(NODES).set("node3", { ...node("node3", 3), internalIps: [`192.0.2.${76 + random(2)}`] });
    const of = input({}, [], { services, slicesOf: (each) => slices.get(each) ?? none, advertise, node: own, nodes });
    const plan = old.plan(of);
    assert.deepEqual(plan, new AnnouncementPlanner().plan(of), `step ${step}`);
    assert.equal(old.plan(of), plan, "nothing changed: the same plan");
  }
});

test("AnnouncementPlanner plans 10,000 Services in well under a second, and one of them in a fraction", () => {
  const services = new Map<string, ClusterService>();
  for (let i = 0; i < 10_000; i++) {
    const service = aService({ ...BALANCED, name: `s${i}`, loadBalancerIps: [`10.1.${i >> 8}.${i & 255}`] });
    services.set(serviceKey(service), service);
  }
  const slices = [aSlice([here(), there()])];
  const of = input({}, [], { services, slicesOf: () => slices, advertise: { ...ALL, within: ["10.0.0.0/8"] } });
  const planner = new AnnouncementPlanner();
  const timed = (count: number) => {
    const start = performance.now();
    assert.equal(planner.plan(of).announced.length, count);
    return performance.now() - start;
  };
  const first = timed(10_000);
  // The least of some: a machine that is busy for a moment is slower at either.
  const others = Array.from({ length: 5 }, (_, i) => {
    const one = aService({ ...BALANCED, name: `one-more-${i}`, loadBalancerIps: [`10.2.0.${i}`] });
    services.set(serviceKey(one), one);
    return timed(10_001 + i);
  });
  assert.ok(first < 2000 && Math.min(...others) < first / 2, `${first} ms, ${others.join(", ")} ms`);
});
