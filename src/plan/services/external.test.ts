/** External addresses, load balancers, source ranges, externalTrafficPolicy. Rows "external". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterService } from "../../model/service.ts";
import { planService } from "./frontends.ts";
import { aService, aSlice, node1, tcp80 } from "./testing/objects.ts";
import { OUTSIDE, pod6On, podOn, ServiceCluster } from "./testing/service-cluster.ts";

const VIP = "10.96.0.10";
const LB = "203.0.113.9";
const EXTERNAL = "198.51.100.7";
const CLIENT = "10.244.1.9";
const balanced = aService({
  type: "LoadBalancer",
  ports: [{ ...tcp80, nodePort: 30080 }],
  externalIps: [EXTERNAL],
  loadBalancerIps: [LB],
});
const local: ClusterService = { ...balanced, externalPolicy: "Local" };
const both = [aSlice([podOn(1, 5), podOn(2, 6)])];
const ALL = ["10.244.1.5:8080", "10.244.2.6:8080"];
/** Addresses from outside, with their ports, on a node. */
const outsideAddresses = (number: number): [string, number][] => [
  [LB, 80],
  [EXTERNAL, 80],
  [`192.168.1.1${number}`, 30080],
];

test("svc-29 an external IP that is routed to a node is answered by endpoints, also where the node has it", () => {
  for (const addresses of [{}, { node3: [EXTERNAL] }]) {
    const cluster = new ServiceCluster({ services: [balanced], slices: both, addresses });
    for (const from of ["outside", "10.244.3.9", "node3"]) {
      assert.deepEqual(cluster.reached({ from, to: EXTERNAL, port: 80, via: "node3" }), ALL, from);
    }
  }
});

test("an external IP that a node has and nothing serves is refused by the node", () => {
  const cluster = new ServiceCluster({ services: [balanced], slices: [], addresses: { node3: [EXTERNAL] } });
  for (const from of ["outside", "10.244.3.9", "node3"]) {
    assert.deepEqual(cluster.dial({ from, to: EXTERNAL, port: 80, via: "node3" }), ["rejected (tcp reset)"], from);
  }
});

test("svc-30 source ranges let in who is inside them, drop the others, and leave the NodePort and the cluster IP alone", () => {
  const service = { ...balanced, sourceRanges: ["198.51.100.192/26", "10.244.3.0/24"] };
  const cluster = new ServiceCluster({ services: [service], slices: both });
  const outside = { from: "outside", to: LB, port: 80, via: "node3" } as const;
  assert.deepEqual(cluster.reached(outside), ALL);
  assert.deepEqual(cluster.reached({ ...outside, source: "198.51.100.5" }), ["dropped"]);
  assert.deepEqual(cluster.reached({ from: "10.244.3.9", to: LB, port: 80 }), ALL, "a pod inside");
  assert.deepEqual(cluster.reached({ from: CLIENT, to: LB, port: 80 }), ["dropped"], "a pod that is not");
  assert.deepEqual(cluster.reached({ from: "node1", to: LB, port: 80 }), ["dropped"], "a node that is not");
  for (const [to, port] of [
    ["192.168.1.13", 30080],
    [VIP, 80],
    [EXTERNAL, 80],
  ] as const) {
    assert.deepEqual(cluster.reached({ from: CLIENT, to, port }), ALL, to);
    assert.deepEqual(cluster.reached({ from: "outside", to, port, source: "198.51.100.5", via: "node3" }), ALL, to);
  }
});

test("svc-30 a node inside the ranges is let in by the load balancer's address too, where it has that", () => {
  const service = { ...balanced, sourceRanges: ["192.168.1.0/24"] };
  const cluster = new ServiceCluster({ services: [service], slices: both, addresses: { node1: [LB] } });
  assert.deepEqual(cluster.reached({ from: "node1", to: LB, port: 80 }), ALL);
  assert.deepEqual(cluster.reached({ from: "node1", to: LB, port: 80, source: LB }), ALL);
  assert.deepEqual(cluster.reached({ from: "outside", to: LB, port: 80 }), ["dropped"]);
  const without = { ...service, sourceRanges: ["10.0.0.0/8"] };
  cluster.apply({ services: [without] });
  assert.deepEqual(cluster.reached({ from: "node1", to: LB, port: 80, source: LB }), ["dropped"]);
});

test("svc-30 ranges of pods let no node in, though its tunnel device has an address among them", () => {
  const service = { ...balanced, sourceRanges: ["10.244.0.0/16"] };
  const cluster = new ServiceCluster({ services: [service], slices: both, addresses: { node1: [LB, "10.244.1.0"] } });
  assert.deepEqual(cluster.reached({ from: "node1", to: LB, port: 80, source: LB }), ["dropped"]);
});

test("svc-30 source ranges are of a family; where there are none of it nobody is let in", () => {
  const service: ClusterService = {
    ...balanced,
    clusterIps: [VIP, "fd00:10:96::a"],
    loadBalancerIps: [LB, "2001:db8::9"],
    sourceRanges: ["198.51.100.0/24"],
  };
  const slices = [...both, aSlice([pod6On(1, 5)], { name: "web-6" })];
  const cluster = new ServiceCluster({ services: [service], slices });
  const six = { from: "outside", to: "2001:db8::9", port: 80, via: "node1" } as const;
  assert.deepEqual(cluster.reached({ ...six, to: LB }), ALL);
  assert.deepEqual(cluster.reached(six), ["dropped"]);
  cluster.apply({ services: [{ ...service, sourceRanges: ["2001:db8:99::/48"] }] });
  assert.deepEqual(cluster.reached({ ...six, to: LB }), ["dropped"]);
  assert.deepEqual(cluster.reached(six), ["[fd00:10:244:1::5]:8080"]);
});

test("svc-30 ranges that could not be read let nobody in", () => {
  const cluster = new ServiceCluster({ services: [{ ...balanced, sourceRanges: [] }], slices: both });
  assert.deepEqual(cluster.reached({ from: "outside", to: LB, port: 80, via: "node1" }), ["dropped"]);
});

test("svc-30 source ranges hold where an external IP is the load balancer's address too", () => {
  const service = { ...balanced, externalIps: [LB], sourceRanges: ["10.0.0.0/8"] };
  const cluster = new ServiceCluster({ services: [service], slices: both });
  assert.deepEqual(cluster.reached({ from: "outside", to: LB, port: 80, via: "node1" }), ["dropped"]);
  assert.deepEqual(cluster.reached({ from: CLIENT, to: LB, port: 80 }), ALL);
});

test("svc-31 policy Local from outside: the node with the pod answers and keeps the client's address, others drop", () => {
  const cluster = new ServiceCluster({ services: [local], slices: [aSlice([podOn(1, 5)])] });
  for (const [to, port] of outsideAddresses(1)) {
    assert.deepEqual(
      cluster.dial({ from: "outside", to, port, via: "node1" }),
      [`10.244.1.5:8080 from ${OUTSIDE[4]}`],
      to,
    );
  }
  for (const [to, port] of outsideAddresses(2)) {
    assert.deepEqual(cluster.dial({ from: "outside", to, port, via: "node2" }), ["dropped"], to);
  }
});

test("svc-31 policy Local from outside takes this node's endpoints alone, of several", () => {
  const cluster = new ServiceCluster({ services: [local], slices: [aSlice([podOn(1, 5), podOn(1, 7), podOn(2, 6)])] });
  for (const [to, port] of outsideAddresses(1)) {
    assert.deepEqual(cluster.reached({ from: "outside", to, port, via: "node1" }), [
      "10.244.1.5:8080",
      "10.244.1.7:8080",
    ]);
  }
});

test("svc-33 pods dial the address of a Local load balancer from every node, reach all endpoints and keep their address", () => {
  for (const slices of [both, [aSlice([podOn(1, 5)])]]) {
    const cluster = new ServiceCluster({ services: [local], slices });
    const expected = slices === both ? ALL : ALL.slice(0, 1);
    for (const from of ["10.244.1.9", "10.244.2.9", "10.244.3.9"]) {
      for (const to of [LB, EXTERNAL]) {
        assert.deepEqual(
          cluster.dial({ from, to, port: 80 }),
          expected.map((endpoint) => `${endpoint} from ${from}`),
        );
      }
    }
  }
});

test("svc-33 pods dial their own node's NodePort of policy Local: all endpoints, unmasqueraded; the node the same, masqueraded", () => {
  const cluster = new ServiceCluster({ services: [local], slices: both });
  for (const [to, port] of outsideAddresses(1)) {
    assert.deepEqual(
      cluster.dial({ from: CLIENT, to, port }),
      ALL.map((endpoint) => `${endpoint} from ${CLIENT}`),
      to,
    );
    assert.deepEqual(
      cluster.dial({ from: "node1", to, port }),
      ALL.map((endpoint) => `${endpoint} from 192.168.1.11`),
      to,
    );
  }
  const none = new ServiceCluster({ services: [local], slices: [aSlice([podOn(2, 6)])] });
  assert.deepEqual(none.dial({ from: CLIENT, to: "192.168.1.11", port: 30080 }), [`10.244.2.6:8080 from ${CLIENT}`]);
  assert.deepEqual(none.dial({ from: "node1", to: LB, port: 80 }), ["10.244.2.6:8080 from 192.168.1.11"]);
});

test("a pod that dials another node's NodePort of policy Local comes from outside there", () => {
  const cluster = new ServiceCluster({ services: [local], slices: both });
  const dial = (to: string) => cluster.dial({ from: "10.244.3.9", to, port: 30080 });
  // It left its node under that one's address.
  assert.deepEqual(dial("192.168.1.11"), ["10.244.1.5:8080 from 192.168.1.13"]);
  cluster.apply({ slices: [aSlice([podOn(1, 5)])] });
  assert.deepEqual(dial("192.168.1.12"), ["dropped"]);
});

test("svc-34 from Local to Cluster and back: all nodes answer, masqueraded; then the node with the pod alone", () => {
  const cluster = new ServiceCluster({ services: [local], slices: [aSlice([podOn(1, 5)])] });
  const at = (via: "node1" | "node2") => cluster.dial({ from: "outside", to: LB, port: 80, via });
  const keeps = [`10.244.1.5:8080 from ${OUTSIDE[4]}`];
  assert.deepEqual([at("node1"), at("node2")], [keeps, ["dropped"]]);
  cluster.apply({ services: [balanced] });
  assert.deepEqual(
    [at("node1"), at("node2")],
    [["10.244.1.5:8080 from 192.168.1.11"], ["10.244.1.5:8080 from 192.168.1.12"]],
  );
  cluster.apply({ services: [local] });
  assert.deepEqual([at("node1"), at("node2")], [keeps, ["dropped"]]);
});

test("internalTrafficPolicy does not touch what is reached from outside, externalTrafficPolicy not the cluster IP", () => {
  const inner = new ServiceCluster({
    services: [{ ...balanced, internalPolicy: "Local" }],
    slices: [aSlice([podOn(2, 6)])],
  });
  for (const [to, port] of outsideAddresses(1)) {
    for (const from of ["outside", CLIENT, "node1"]) {
      assert.deepEqual(inner.reached({ from, to, port, via: "node1" }), ["10.244.2.6:8080"], `${from} to ${to}`);
    }
  }
  const outer = new ServiceCluster({ services: [local], slices: [aSlice([podOn(2, 6)])] });
  for (const from of ["outside", CLIENT, "node1"]) {
    assert.deepEqual(outer.reached({ from, to: VIP, port: 80, via: "node1" }), ["10.244.2.6:8080"], from);
  }
  assert.deepEqual(outer.dial({ from: "outside", to: VIP, port: 80, via: "node1" }), [
    "10.244.2.6:8080 from 192.168.1.11",
  ]);
});

test("svc-32 planService() counts ready endpoints of this node for the health check of a Local load balancer", () => {
  const service = { ...local, healthCheckNodePort: 32000 };
  const check = (slices = both) => planService(service, slices, node1).healthCheck;
  assert.deepEqual(check(), { port: 32000, localEndpoints: 1 });
  assert.deepEqual(check([aSlice([podOn(2, 6)])]), { port: 32000, localEndpoints: 0 });
  assert.deepEqual(check([]), { port: 32000, localEndpoints: 0 });
  assert.deepEqual(check([aSlice([podOn(1, 5), podOn(1, 7)]), aSlice([pod6On(1, 5)])]), {
    port: 32000,
    localEndpoints: 2,
  });
  assert.equal(planService(balanced, both, node1).healthCheck, undefined);
});
