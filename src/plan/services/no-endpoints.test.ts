/** What traffic gets that nothing serves: REJECT or DROP, by kube-proxy's rules. Rows "no-endpoints". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterService, EndpointSlice } from "../../model/service.ts";
import { aService, aSlice, tcp80 } from "./testing/objects.ts";
import { podOn, ServiceCluster } from "./testing/service-cluster.ts";

const VIP = "10.96.0.10";
const CLIENT = "10.244.1.9";
const REFUSED = ["rejected (tcp reset)"];
const UNREACHABLE = ["rejected (icmp)"];
const DROPPED = ["dropped"];

const everything = aService({
  type: "LoadBalancer",
  ports: [{ ...tcp80, nodePort: 30080 }],
  externalIps: ["198.51.100.7"],
  loadBalancerIps: ["203.0.113.9"],
});
/** Every address that the Service has on node1, with its port. */
const FRONTENDS: readonly [string, number][] = [
  [VIP, 80],
  ["198.51.100.7", 80],
  ["203.0.113.9", 80],
  ["192.168.1.11", 30080],
];

function cluster(service: ClusterService, slices: readonly EndpointSlice[] = []): ServiceCluster {
  return new ServiceCluster({ services: [service], slices });
}

test("svc-07 a Service without endpoints refuses: from pods, from nodes, from outside, at each of its addresses", () => {
  const empty = cluster(everything);
  for (const [to, port] of FRONTENDS) {
    for (const from of [CLIENT, "node1", "outside"]) {
      assert.deepEqual(empty.dial({ from, to, port, via: "node1" }), REFUSED, `${from} to ${to}`);
    }
  }
});

test("svc-07 UDP and SCTP are answered with port unreachable", () => {
  for (const [protocol, name] of [
    ["udp", "UDP"],
    ["sctp", "SCTP"],
  ] as const) {
    const empty = cluster({ ...everything, ports: [{ name: "", protocol: name, port: 80, nodePort: 30080 }] });
    for (const [to, port] of FRONTENDS) {
      assert.deepEqual(empty.dial({ from: CLIENT, to, port, protocol }), UNREACHABLE, to);
    }
  }
});

test("svc-07 IPv6 is refused as IPv4 is", () => {
  const empty = cluster({
    ...everything,
    clusterIps: ["fd00:10:96::a"],
    externalIps: [],
    loadBalancerIps: ["2001:db8::9"],
  });
  const from = "fd00:10:244:1::9";
  for (const [to, port] of [
    ["fd00:10:96::a", 80],
    ["2001:db8::9", 80],
    ["fd00:192:168:1::11", 30080],
  ] as const) {
    assert.deepEqual(empty.dial({ from, to, port }), REFUSED, to);
    assert.deepEqual(empty.dial({ from, to, port, protocol: "udp" }).length, 1);
  }
  const udp = cluster({
    ...everything,
    clusterIps: ["fd00:10:96::a"],
    ports: [{ name: "", protocol: "UDP", port: 53 }],
  });
  assert.deepEqual(udp.dial({ from, to: "fd00:10:96::a", port: 53, protocol: "udp" }), ["rejected (icmpv6)"]);
});

test("svc-08 a Service whose only pod was evicted refuses, with publishNotReadyAddresses too: its slice is empty", () => {
  for (const slice of [aSlice([]), aSlice([podOn(1, 5, { ready: false, serving: false, terminating: true })])]) {
    assert.deepEqual(cluster(everything, [slice]).dial({ from: CLIENT, to: VIP, port: 80 }), REFUSED);
  }
});

test("an undefined port of a cluster IP is refused, whatever the protocol", () => {
  const serving = cluster(everything, [aSlice([podOn(1, 5)])]);
  for (const from of [CLIENT, "node1", "outside"]) {
    const dial = { from, to: VIP, port: 81, via: "node1" } as const;
    assert.deepEqual(serving.dial(dial), REFUSED, from);
    assert.deepEqual(serving.dial({ ...dial, protocol: "udp" }), UNREACHABLE, from);
    assert.deepEqual(serving.dial({ ...dial, port: 80, protocol: "udp" }), UNREACHABLE, from);
  }
});

test("an unallocated cluster IP is dropped where the Service CIDR is known, and leaves the node where it is not", () => {
  const dial = { from: CLIENT, to: "10.96.77.77", port: 80 };
  assert.deepEqual(cluster(everything).dial(dial), DROPPED);
  assert.deepEqual(cluster(everything).dial({ ...dial, from: "node1" }), DROPPED);
  const unknown = new ServiceCluster({ services: [everything], slices: [], config: { serviceCidrs: [] } });
  assert.deepEqual(unknown.reached(dial), ["10.96.77.77:80"]);
});

test("other ports of addresses outside the cluster are nobody's business", () => {
  const serving = cluster(everything, [aSlice([podOn(1, 5)])]);
  for (const to of ["198.51.100.7", "203.0.113.9"]) {
    assert.deepEqual(serving.reached({ from: CLIENT, to, port: 81 }), [`${to}:81`]);
  }
  assert.deepEqual(serving.reached({ from: CLIENT, to: "192.168.1.11", port: 22 }), ["192.168.1.11:22"]);
});

test("policy Local drops where endpoints exist but none is here, and refuses where none exists anywhere", () => {
  const local = { ...everything, internalPolicy: "Local", externalPolicy: "Local" } as const;
  const elsewhere = cluster(local, [aSlice([podOn(2, 6)])]);
  const nowhere = cluster(local);
  for (const [to, port] of FRONTENDS) {
    const outside = { from: "outside", to, port, via: "node1" } as const;
    assert.deepEqual(elsewhere.dial(outside), DROPPED, to);
    assert.deepEqual(nowhere.dial(outside), REFUSED, to);
    assert.deepEqual(nowhere.dial({ from: CLIENT, to, port }), REFUSED, to);
  }
  assert.deepEqual(elsewhere.dial({ from: CLIENT, to: VIP, port: 80 }), DROPPED);
  assert.deepEqual(elsewhere.dial({ from: "node1", to: VIP, port: 80 }), DROPPED);
});
