/** Where NodePorts answer and for whom. Rows "nodeport" and "Granular Checks". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServicePort } from "../../model/service.ts";
import { nodePortAddresses, serviceContext } from "./node-ports.ts";
import { anEndpoint, aService, aSlice, tcp80 } from "./testing/objects.ts";
import { podOn, ServiceCluster } from "./testing/service-cluster.ts";

const NODE_IPS = ["192.168.1.11", "192.168.1.12", "192.168.1.13"];
const web = aService({ type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] });
const endpoints = [podOn(1, 5), podOn(2, 6)];
const ALL = ["10.244.1.5:8080", "10.244.2.6:8080"];
const cluster = new ServiceCluster({ services: [web], slices: [aSlice(endpoints)] });

test("svc-16 a NodePort answers at every node's address, from a pod and from outside, beside the cluster IP", () => {
  for (const from of ["10.244.1.9", "10.244.3.9", "outside"]) {
    for (const to of NODE_IPS) assert.deepEqual(cluster.reached({ from, to, port: 30080 }), ALL, `${from} to ${to}`);
  }
  assert.deepEqual(cluster.reached({ from: "10.244.1.9", to: "10.96.0.10", port: 80 }), ALL);
});

for (const [protocol, name] of [
  ["tcp", "TCP"],
  ["udp", "UDP"],
  ["sctp", "SCTP"],
] as const) {
  test(`svc-17 ${name}: pods, nodes and the endpoints themselves reach all endpoints by every node's NodePort`, () => {
    const service = { ...web, ports: [{ name: "x", protocol: name, port: 80, nodePort: 30080 }] };
    const slice = aSlice(endpoints, { ports: [{ name: "x", protocol: name, port: 8080 }] });
    const all = new ServiceCluster({ services: [service], slices: [slice] });
    for (const from of ["10.244.3.9", "node1", "node2", "node3", "10.244.1.5", "10.244.2.6"]) {
      for (const to of NODE_IPS) {
        assert.deepEqual(all.reached({ from, to, port: 30080, protocol }), ALL, `${from} to ${to}`);
      }
      assert.deepEqual(all.reached({ from, to: "10.96.0.10", port: 80, protocol }), ALL, from);
    }
  });
}

test("svc-18 a NodePort that was removed answers no more, the cluster IP does", () => {
  const updated = new ServiceCluster({ services: [web], slices: [aSlice(endpoints)] });
  updated.apply({ services: [aService()] });
  assert.deepEqual(updated.reached({ from: "10.244.3.9", to: "10.96.0.10", port: 80 }), ALL);
  // Nobody listens there: the node itself gets it, and refuses.
  assert.deepEqual(updated.reached({ from: "10.244.3.9", to: "192.168.1.13", port: 30080 }), ["192.168.1.13:30080"]);
});

test("svc-19 one NodePort number serves TCP and UDP", () => {
  const ports: ServicePort[] = [
    { name: "tcp", protocol: "TCP", port: 80, nodePort: 30080 },
    { name: "udp", protocol: "UDP", port: 80, nodePort: 30080 },
  ];
  const slicePorts = [
    { name: "tcp", protocol: "TCP", port: 8080 },
    { name: "udp", protocol: "UDP", port: 8081 },
  ] as const;
  const both = new ServiceCluster({
    services: [{ ...web, ports }],
    slices: [aSlice([podOn(2, 6)], { ports: slicePorts })],
  });
  const dial = { from: "outside", to: "192.168.1.11", port: 30080 };
  assert.deepEqual(both.reached(dial), ["10.244.2.6:8080"]);
  assert.deepEqual(both.reached({ ...dial, protocol: "udp" }), ["10.244.2.6:8081"]);
});

test("svc-20 of two Services with one NodePort the older one has it, and the other gets it when that one goes", () => {
  const younger = aService({ ...web, name: "younger", clusterIps: ["10.96.0.11"], createdAt: "2026-02-01T00:00:00Z" });
  const slices = [aSlice([podOn(1, 5)]), aSlice([podOn(2, 6)], { service: "younger" })];
  const dial = { from: "outside", to: "192.168.1.13", port: 30080 };
  const two = new ServiceCluster({ services: [younger, web], slices });
  assert.deepEqual(two.reached(dial), ["10.244.1.5:8080"]);
  assert.deepEqual(two.reached({ from: "10.244.3.9", to: "10.96.0.11", port: 80 }), ["10.244.2.6:8080"]);
  two.apply({ services: [younger] });
  assert.deepEqual(two.reached(dial), ["10.244.2.6:8080"]);
});

test("svc-21 a NodePort is not served on loopback: what is sent there is this node's own", () => {
  assert.deepEqual(cluster.dial({ from: "node1", to: "127.0.0.1", port: 30080, source: "127.0.0.1" }), [
    "127.0.0.1:30080 from 127.0.0.1",
  ]);
  assert.deepEqual(cluster.reached({ from: "node1", to: "::1", port: 30080, source: "::1" }), ["[::1]:30080"]);
});

test("a NodePort answers only where the operator says", () => {
  const addresses = { node1: ["10.99.0.1"] };
  const config = { nodePortAddresses: ["10.99.0.0/16"] };
  const chosen = new ServiceCluster({ services: [web], slices: [aSlice(endpoints)], addresses, config });
  assert.deepEqual(chosen.reached({ from: "outside", to: "10.99.0.1", port: 30080 }), ALL);
  assert.deepEqual(chosen.reached({ from: "outside", to: "192.168.1.11", port: 30080 }), ["192.168.1.11:30080"]);
});

test("a Service reaches a pod on the host network, also of the node that asks", () => {
  const host = new ServiceCluster({
    services: [web],
    slices: [aSlice([anEndpoint("192.168.1.11", { nodeName: "node1" }), podOn(2, 6)])],
  });
  for (const from of ["node1", "node2", "10.244.1.9", "10.244.2.9", "outside"]) {
    for (const [to, port] of [
      ["10.96.0.10", 80],
      ["192.168.1.11", 30080],
    ] as const) {
      const expected = ["10.244.2.6:8080", "192.168.1.11:8080"];
      assert.deepEqual(host.reached({ from, to, port, via: "node1" }), expected, `${from} to ${to}`);
    }
  }
});

const config = { nodePortAddresses: [], serviceCidrs: [], dropInvalid: true, counters: false };
const addresses = ["127.0.0.1", "::1", "192.168.1.11", "10.99.0.1", "fe80::1", "fd00::11"];
const choices: [string, string[], string[]][] = [
  ["its InternalIPs, where nothing is said", [], ["192.168.1.11", "fd00::11"]],
  ["all of a family", ["0.0.0.0/0"], ["10.99.0.1", "192.168.1.11"]],
  ["all of the other family, without those of one link", ["::/0"], ["fd00::11"]],
  ["one network", ["10.99.0.0/24"], ["10.99.0.1"]],
  ["loopback: never", ["127.0.0.0/8", "::1/128"], []],
  ["a network that the node is not in", ["172.16.0.0/12"], []],
];
for (const [name, prefixes, expected] of choices) {
  test(`nodePortAddresses() takes ${name}`, () => {
    const given = { ...config, nodePortAddresses: prefixes };
    assert.deepEqual(nodePortAddresses(given, addresses, ["192.168.1.11", "fd00::11", "192.0.2.1"]), expected);
  });
}

test("serviceContext() takes the zone from the node's labels", () => {
  const node = { name: "node1", internalIps: ["192.168.1.11"], podCidrs: ["10.244.1.0/24"], labels: {} };
  assert.equal(serviceContext(node, addresses, config).zone, undefined);
  const labels = { "topology.kubernetes.io/zone": "zone1" };
  assert.deepEqual(serviceContext({ ...node, labels }, addresses, config), {
    name: "node1",
    zone: "zone1",
    addresses,
    nodePortAddresses: ["192.168.1.11"],
    podCidrs: ["10.244.1.0/24"],
  });
});
