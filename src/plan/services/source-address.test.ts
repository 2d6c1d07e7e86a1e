/** Who keeps its address, who is masqueraded, and pods that reach themselves. Rows "source-ip", "hairpin", "nodes". */
import assert from "node:assert/strict";
import { test } from "node:test";
import { anEndpoint, aService, aSlice, tcp80 } from "./testing/objects.ts";
import { OUTSIDE, pod6On, podOn, ServiceCluster } from "./testing/service-cluster.ts";

const VIP = "10.96.0.10";
const VIP6 = "fd00:10:96::a";
const service = aService({
  type: "LoadBalancer",
  clusterIps: [VIP, VIP6],
  ports: [{ ...tcp80, nodePort: 30080 }],
  loadBalancerIps: ["203.0.113.9"],
  externalIps: ["198.51.100.7"],
});
const slices = [aSlice([podOn(1, 5), podOn(2, 6)]), aSlice([pod6On(1, 5), pod6On(2, 6)], { name: "web-6" })];
const cluster = new ServiceCluster({ services: [service], slices });

test("svc-09 a pod's address is kept through a cluster IP, to endpoints on its node and on others", () => {
  for (const from of ["10.244.1.9", "10.244.2.9", "10.244.3.9"]) {
    assert.deepEqual(cluster.dial({ from, to: VIP, port: 80 }), [
      `10.244.1.5:8080 from ${from}`,
      `10.244.2.6:8080 from ${from}`,
    ]);
  }
  const from = "fd00:10:244:3::9";
  assert.deepEqual(cluster.dial({ from, to: VIP6, port: 80 }), [
    `[fd00:10:244:1::5]:8080 from ${from}`,
    `[fd00:10:244:2::6]:8080 from ${from}`,
  ]);
});

test("svc-10 pods reach pods under their own address, on one node and across nodes", () => {
  const pods = ["10.244.1.5", "10.244.1.9", "10.244.2.6", "10.244.3.7", "fd00:10:244:1::5", "fd00:10:244:3::7"];
  for (const from of pods) {
    for (const to of pods.filter((other) => other !== from && other.includes(":") === from.includes(":"))) {
      const text = to.includes(":") ? `[${to}]` : to;
      assert.deepEqual(cluster.dial({ from, to, port: 8080 }), [`${text}:8080 from ${from}`]);
    }
  }
});

test("svc-11 a pod reaches itself through its Service, by every address of it, under another source", () => {
  for (const [to, port] of [
    [VIP, 80],
    ["203.0.113.9", 80],
    ["198.51.100.7", 80],
    ["192.168.1.11", 30080],
  ] as const) {
    const from = "10.244.1.5";
    const outcomes = cluster.dial({ from, to, port });
    assert.ok(outcomes.includes("10.244.1.5:8080 from 192.168.1.11"), `${to}: ${outcomes}`);
    assert.ok(!outcomes.includes("10.244.1.5:8080 from 10.244.1.5"), to);
  }
  const outcomes = cluster.dial({ from: "fd00:10:244:1::5", to: VIP6, port: 80 });
  assert.deepEqual(outcomes, [
    "[fd00:10:244:1::5]:8080 from fd00:192:168:1::11",
    "[fd00:10:244:2::6]:8080 from fd00:10:244:1::5",
  ]);
});

test("svc-11 a pod of policy Local reaches itself by the load balancer's address", () => {
  const local = new ServiceCluster({
    services: [{ ...service, externalPolicy: "Local", internalPolicy: "Local" }],
    slices: [aSlice([podOn(1, 5)])],
  });
  for (const to of ["203.0.113.9", VIP]) {
    assert.deepEqual(local.dial({ from: "10.244.1.5", to, port: 80 }), ["10.244.1.5:8080 from 192.168.1.11"], to);
  }
});

test("a node's own dials are masqueraded: the answer has to come back to it", () => {
  for (const to of [VIP, "203.0.113.9", "198.51.100.7"]) {
    const source = "192.168.1.13";
    assert.deepEqual(cluster.dial({ from: "node3", to, port: 80 }), [
      `10.244.1.5:8080 from ${source}`,
      `10.244.2.6:8080 from ${source}`,
    ]);
  }
});

test("dials from outside are masqueraded under externalTrafficPolicy Cluster, by every address", () => {
  for (const [to, port] of [
    [VIP, 80],
    ["203.0.113.9", 80],
    ["198.51.100.7", 80],
    ["192.168.1.13", 30080],
  ] as const) {
    assert.deepEqual(
      cluster.dial({ from: "outside", to, port, via: "node3" }),
      ["10.244.1.5:8080 from 192.168.1.13", "10.244.2.6:8080 from 192.168.1.13"],
      to,
    );
  }
});

test("what no Service translates keeps its source: from outside to a pod, and what a pod sends to a node", () => {
  assert.deepEqual(cluster.dial({ from: "outside", to: "10.244.1.5", port: 8080, via: "node1" }), [
    `10.244.1.5:8080 from ${OUTSIDE[4]}`,
  ]);
  assert.deepEqual(cluster.dial({ from: "10.244.1.9", to: "192.168.1.11", port: 10250 }), [
    "192.168.1.11:10250 from 10.244.1.9",
  ]);
});

test("svc-65 pods and the host network of every node reach the API server, which is on a node's own address", () => {
  const api = aService({
    name: "kubernetes",
    clusterIps: ["10.96.0.1"],
    ports: [{ name: "https", protocol: "TCP", port: 443 }],
  });
  const endpoints = [anEndpoint("192.168.1.11"), anEndpoint("192.168.1.12")];
  const ports = [{ name: "https", protocol: "TCP", port: 6443 }] as const;
  const withApi = new ServiceCluster({
    services: [api],
    slices: [aSlice(endpoints, { service: "kubernetes", ports })],
  });
  for (const from of ["10.244.1.9", "10.244.2.9", "10.244.3.9", "node1", "node2", "node3"]) {
    const reached = withApi.reached({ from, to: "10.96.0.1", port: 443 });
    assert.deepEqual(reached, ["192.168.1.11:6443", "192.168.1.12:6443"], from);
  }
});
