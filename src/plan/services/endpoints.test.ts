/** Which endpoints serve: readiness, termination, ports, slices that disagree. Rows "endpoints" and "lifecycle". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EndpointSlice, ServicePort, SliceEndpoint } from "../../model/service.ts";
import { chooseEndpoints, portEndpoints } from "./endpoints.ts";
import { anEndpoint, aService, aSlice, node1, tcp80 } from "./testing/objects.ts";
import { podOn, ServiceCluster } from "./testing/service-cluster.ts";

const VIP = "10.96.0.10";
const CLIENT = "10.244.1.9";
const fromPod = { from: CLIENT, to: VIP, port: 80 };

function reached(endpoints: readonly SliceEndpoint[]): string[] {
  return new ServiceCluster({ services: [aService()], slices: [aSlice(endpoints)] }).reached(fromPod);
}

test("svc-01 a Service reaches exactly the pods that are listed, while they come and go", () => {
  const [one, two] = [podOn(1, 5), podOn(2, 6)];
  assert.deepEqual(reached([]), ["rejected (tcp reset)"]);
  assert.deepEqual(reached([one]), ["10.244.1.5:8080"]);
  assert.deepEqual(reached([one, two]), ["10.244.1.5:8080", "10.244.2.6:8080"]);
  assert.deepEqual(reached([two]), ["10.244.2.6:8080"]);
  assert.deepEqual(reached([]), ["rejected (tcp reset)"]);
});

test("svc-02 each port lists only the pod that serves it", () => {
  const ports: ServicePort[] = [tcp80, { name: "admin", protocol: "TCP", port: 81 }];
  const slices = [
    aSlice([podOn(1, 5)], { name: "web-a" }),
    aSlice([podOn(2, 6)], { name: "web-b", ports: [{ name: "admin", protocol: "TCP", port: 9090 }] }),
  ];
  const cluster = new ServiceCluster({ services: [aService({ ports })], slices });
  assert.deepEqual(cluster.reached(fromPod), ["10.244.1.5:8080"]);
  assert.deepEqual(cluster.reached({ ...fromPod, port: 81 }), ["10.244.2.6:9090"]);
  cluster.apply({ slices: slices.slice(1) });
  assert.deepEqual(cluster.reached(fromPod), ["rejected (tcp reset)"]);
  assert.deepEqual(cluster.reached({ ...fromPod, port: 81 }), ["10.244.2.6:9090"]);
});

test("svc-03 each endpoint is dialled on its own number where pods name their ports differently", () => {
  const slices = [8080, 9090].map((port, i) =>
    aSlice([podOn(1, 5 + i)], { name: `web-${port}`, ports: [{ name: "http", protocol: "TCP", port }] }),
  );
  const cluster = new ServiceCluster({ services: [aService()], slices });
  assert.deepEqual(cluster.reached(fromPod), ["10.244.1.5:8080", "10.244.1.6:9090"]);
});

test("svc-04 Services share a selector, and one goes without the other", () => {
  const endpoints = [podOn(1, 5), podOn(2, 6)];
  const [web, other] = [aService(), aService({ name: "other", clusterIps: ["10.96.0.11"] })];
  const slices = [aSlice(endpoints), aSlice(endpoints, { name: "other-x", service: "other" })];
  const cluster = new ServiceCluster({ services: [web, other], slices });
  assert.deepEqual(cluster.reached(fromPod), ["10.244.1.5:8080", "10.244.2.6:8080"]);
  assert.deepEqual(cluster.reached({ ...fromPod, to: "10.96.0.11" }), cluster.reached(fromPod));
  cluster.apply({ services: [other] });
  assert.deepEqual(cluster.reached(fromPod), ["dropped"]);
  assert.deepEqual(cluster.reached({ ...fromPod, to: "10.96.0.11" }), ["10.244.1.5:8080", "10.244.2.6:8080"]);
});

test("svc-05 one port number by TCP and by UDP leads to each protocol's endpoints", () => {
  const ports: ServicePort[] = [
    { name: "dns-tcp", protocol: "TCP", port: 53 },
    { name: "dns", protocol: "UDP", port: 53 },
  ];
  const slicePorts = [
    { name: "dns-tcp", protocol: "TCP", port: 5353 },
    { name: "dns", protocol: "UDP", port: 5354 },
  ] as const;
  const service = aService({ type: "LoadBalancer", ports, loadBalancerIps: ["203.0.113.9"] });
  const cluster = new ServiceCluster({ services: [service], slices: [aSlice([podOn(2, 6)], { ports: slicePorts })] });
  for (const to of [VIP, "203.0.113.9"]) {
    assert.deepEqual(cluster.reached({ from: CLIENT, to, port: 53 }), ["10.244.2.6:5353"]);
    assert.deepEqual(cluster.reached({ from: CLIENT, to, port: 53, protocol: "udp" }), ["10.244.2.6:5354"]);
    assert.deepEqual(cluster.reached({ from: CLIENT, to, port: 53, protocol: "sctp" }).length, 1);
  }
});

test("svc-06 ports of a live Service come, go and change their target without touching the others", () => {
  const cluster = new ServiceCluster({ services: [aService()], slices: [aSlice([podOn(1, 5)])] });
  const http = { name: "http", protocol: "TCP", port: 8080 } as const;
  const admin = { name: "admin", protocol: "TCP", port: 9090 } as const;
  const at = (port: number) => cluster.reached({ ...fromPod, port });
  cluster.apply({
    services: [aService({ ports: [tcp80, { name: "admin", protocol: "TCP", port: 81 }] })],
    slices: [aSlice([podOn(1, 5)], { ports: [http, admin] })],
  });
  assert.deepEqual([at(80), at(81)], [["10.244.1.5:8080"], ["10.244.1.5:9090"]]);
  cluster.apply({ slices: [aSlice([podOn(1, 5)], { ports: [http, { ...admin, port: 9191 }] })] });
  assert.deepEqual([at(80), at(81)], [["10.244.1.5:8080"], ["10.244.1.5:9191"]]);
  cluster.apply({ services: [aService({ ports: [{ name: "admin", protocol: "TCP", port: 81 }] })] });
  assert.deepEqual([at(80), at(81)], [["rejected (tcp reset)"], ["10.244.1.5:9191"]]);
});

test("svc-12 Services come up and go down independently", () => {
  const services = [1, 2, 3].map((n) => aService({ name: `svc${n}`, clusterIps: [`10.96.1.${n}`] }));
  const slices = [1, 2, 3].map((n) => aSlice([podOn(2, n)], { name: `s${n}`, service: `svc${n}` }));
  const cluster = new ServiceCluster({ services: services.slice(0, 2), slices: slices.slice(0, 2) });
  const at = (n: number) => cluster.reached({ from: CLIENT, to: `10.96.1.${n}`, port: 80 })[0];
  assert.deepEqual([at(1), at(2), at(3)], ["10.244.2.1:8080", "10.244.2.2:8080", "dropped"]);
  cluster.apply({ services: services.slice(1, 2), slices: slices.slice(1, 2) });
  assert.deepEqual([at(1), at(2), at(3)], ["dropped", "10.244.2.2:8080", "dropped"]);
  cluster.apply({ services: services.slice(1), slices: slices.slice(1) });
  assert.deepEqual([at(1), at(2), at(3)], ["dropped", "10.244.2.2:8080", "10.244.2.3:8080"]);
});

/** ready, serving, terminating. */
const conditions: [string, Partial<SliceEndpoint>, boolean][] = [
  ["ready", { ready: true }, true],
  ["not ready", { ready: false }, false],
  ["starting: not ready, serving", { ready: false, serving: true }, false],
  ["terminating, still serving", { ready: false, serving: true, terminating: true }, true],
  ["terminating, serving no more", { ready: false, serving: false, terminating: true }, false],
  [
    "terminating of a Service that publishes what is not ready",
    { ready: true, serving: false, terminating: true },
    true,
  ],
];

for (const [name, fields, serves] of conditions) {
  test(`chooseEndpoints() ${serves ? "takes" : "leaves out"} a lone endpoint: ${name}`, () => {
    const endpoints = portEndpoints([aSlice([podOn(1, 5, fields)])], tcp80, 4);
    const chosen = serves ? ["10.244.1.5 . 8080"] : [];
    assert.deepEqual(chooseEndpoints(endpoints, node1), { cluster: chosen, local: chosen, any: serves });
  });
}

test("chooseEndpoints() sorts, and is the same for any order of endpoints and slices", () => {
  const endpoints = [podOn(3, 7), podOn(1, 5), podOn(2, 6), podOn(1, 4)];
  const choose = (slices: EndpointSlice[]) => chooseEndpoints(portEndpoints(slices, tcp80, 4), node1);
  const expected = choose([aSlice(endpoints)]);
  assert.deepEqual(expected.cluster, [
    "10.244.1.4 . 8080",
    "10.244.1.5 . 8080",
    "10.244.2.6 . 8080",
    "10.244.3.7 . 8080",
  ]);
  assert.deepEqual(choose([aSlice(endpoints.toReversed())]), expected);
  assert.deepEqual(choose(endpoints.map((each, i) => aSlice([each], { name: `s${i}` }))), expected);
});

test("portEndpoints() takes the best of an address that several slices have", () => {
  const gone = anEndpoint("10.244.1.5", { ready: false });
  const last = anEndpoint("10.244.1.5", { ready: false, serving: true, terminating: true });
  const ready = anEndpoint("10.244.1.5");
  for (const [given, best] of [
    [[gone, ready], ready],
    [[ready, gone], ready],
    [[last, ready], ready],
    [[gone, last], last],
    [[last, gone], last],
  ] as const) {
    const slices = given.map((endpoint, i) => aSlice([endpoint], { name: `s${i}` }));
    assert.deepEqual(portEndpoints(slices, tcp80, 4), [{ endpoint: best, port: 8080, text: "10.244.1.5 . 8080" }]);
  }
});

test("portEndpoints() tells ports by name and protocol, and families by their slices", () => {
  const ports = [
    { name: "http", protocol: "TCP", port: 8080 },
    { name: "http", protocol: "UDP", port: 8081 },
    { name: "", protocol: "TCP", port: 8082 },
  ] as const;
  const slices = [aSlice([podOn(1, 5)], { ports }), aSlice([anEndpoint("fd00:10:244:1::5")], { ports })];
  const texts = (port: ServicePort, family: 4 | 6) => portEndpoints(slices, port, family).map(({ text }) => text);
  assert.deepEqual(texts(tcp80, 4), ["10.244.1.5 . 8080"]);
  assert.deepEqual(texts(tcp80, 6), ["fd00:10:244:1::5 . 8080"]);
  assert.deepEqual(texts({ ...tcp80, protocol: "UDP" }, 4), ["10.244.1.5 . 8081"]);
  assert.deepEqual(texts({ ...tcp80, name: "" }, 4), ["10.244.1.5 . 8082"]);
  assert.deepEqual(texts({ ...tcp80, protocol: "SCTP" }, 4), []);
});
