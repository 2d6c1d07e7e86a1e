/** internalTrafficPolicy Local: this node's endpoints or none. Rows "internalTrafficPolicy". */
import assert from "node:assert/strict";
import { test } from "node:test";
import { anEndpoint, aService, aSlice } from "./testing/objects.ts";
import { pod6On, podOn, ServiceCluster } from "./testing/service-cluster.ts";

const VIP = "10.96.0.10";
const local = aService({ internalPolicy: "Local" });
const onNode1 = new ServiceCluster({ services: [local], slices: [aSlice([podOn(1, 5)])] });

test("svc-42 Pod to Pod: clients of the server's node succeed, others are dropped", () => {
  assert.deepEqual(onNode1.dial({ from: "10.244.1.9", to: VIP, port: 80 }), ["10.244.1.5:8080 from 10.244.1.9"]);
  assert.deepEqual(onNode1.dial({ from: "10.244.2.9", to: VIP, port: 80 }), ["dropped"]);
});

test("svc-43 host network to Pod: clients of the server's node succeed, others are dropped", () => {
  assert.deepEqual(onNode1.reached({ from: "node1", to: VIP, port: 80 }), ["10.244.1.5:8080"]);
  assert.deepEqual(onNode1.reached({ from: "node2", to: VIP, port: 80 }), ["dropped"]);
});

test("svc-44 Pod and node to a Pod on the host network: clients of its node succeed, others are dropped", () => {
  const slices = [aSlice([anEndpoint("192.168.1.11", { nodeName: "node1" })])];
  const host = new ServiceCluster({ services: [local], slices });
  for (const from of ["10.244.1.9", "node1"]) {
    assert.deepEqual(host.reached({ from, to: VIP, port: 80 }), ["192.168.1.11:8080"], from);
  }
  for (const from of ["10.244.2.9", "node2"]) {
    assert.deepEqual(host.reached({ from, to: VIP, port: 80 }), ["dropped"], from);
  }
});

test("policy Local takes each node's own endpoints, of each family", () => {
  const slices = [
    aSlice([podOn(1, 5), podOn(1, 7), podOn(2, 6)]),
    aSlice([pod6On(1, 5), pod6On(2, 6)], { name: "web-6" }),
  ];
  const service = { ...local, clusterIps: [VIP, "fd00:10:96::a"] };
  const cluster = new ServiceCluster({ services: [service], slices });
  const reached = (from: string, to: string) => cluster.reached({ from, to, port: 80 });
  assert.deepEqual(reached("10.244.1.9", VIP), ["10.244.1.5:8080", "10.244.1.7:8080"]);
  assert.deepEqual(reached("10.244.2.9", VIP), ["10.244.2.6:8080"]);
  assert.deepEqual(reached("10.244.3.9", VIP), ["dropped"]);
  assert.deepEqual(reached("fd00:10:244:2::9", "fd00:10:96::a"), ["[fd00:10:244:2::6]:8080"]);
  assert.deepEqual(reached("fd00:10:244:3::9", "fd00:10:96::a"), ["dropped"]);
});

test("policy Local does not look at topology hints", () => {
  const slices = [aSlice([podOn(1, 5, { zoneHints: ["zone2"] }), podOn(2, 6, { zoneHints: ["zone1"] })])];
  const cluster = new ServiceCluster({ services: [local], slices });
  assert.deepEqual(cluster.reached({ from: "10.244.1.9", to: VIP, port: 80 }), ["10.244.1.5:8080"]);
});
