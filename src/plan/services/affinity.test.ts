/** sessionAffinity ClientIP, by cluster IP and by NodePort. Rows "affinity". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterService } from "../../model/service.ts";
import { aService, aSlice, tcp80 } from "./testing/objects.ts";
import { pod6On, podOn, ServiceCluster } from "./testing/service-cluster.ts";

const endpoints = [podOn(1, 5), podOn(2, 6), podOn(3, 7)];
const plain = aService({ type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] });
const sticky: ClusterService = { ...plain, affinitySeconds: 10 };
const SIXTEEN = Array.from({ length: 16 }, (_, i) => i);
const ways = {
  "cluster IP": { from: "10.244.1.9", to: "10.96.0.10", port: 80 },
  NodePort: { from: "outside", to: "192.168.1.13", port: 30080 },
} as const;
const ids = { "cluster IP": ["svc-22", "svc-23", "svc-24"], NodePort: ["svc-25", "svc-26", "svc-27"] } as const;

function cluster(service: ClusterService = sticky): ServiceCluster {
  return new ServiceCluster({ services: [service], slices: [aSlice(endpoints)] });
}

/** Endpoints that sixteen dials reach, whatever the kernel draws. */
function seen(on: ServiceCluster, dial: (typeof ways)[keyof typeof ways]): string[] {
  return [...new Set(SIXTEEN.map((drawn) => on.connect(dial, drawn)))].sort();
}

for (const [way, dial] of Object.entries(ways) as [keyof typeof ways, (typeof ways)[keyof typeof ways]][]) {
  const [always, timeout, switching] = ids[way];

  test(`${always} a client comes to the same pod each time, by ${way}; another client may come to another`, () => {
    const on = cluster();
    assert.equal(on.connect(dial, 1), "10.244.2.6:8080");
    assert.deepEqual(seen(on, dial), ["10.244.2.6:8080"]);
    const other = { ...dial, from: dial.from === "outside" ? "outside" : "10.244.1.8", source: "198.51.100.201" };
    assert.equal(on.connect(other, 2), "10.244.3.7:8080");
    assert.deepEqual(seen(on, dial), ["10.244.2.6:8080"]);
  });

  test(`${timeout} the client is remembered until the timeout after its last connection, by ${way}`, () => {
    const on = cluster();
    assert.equal(on.connect(dial, 1), "10.244.2.6:8080");
    for (let i = 0; i < 5; i++) {
      on.elapse(9);
      assert.equal(on.connect(dial, i), "10.244.2.6:8080", "each connection renews it");
    }
    on.elapse(10);
    assert.equal(on.connect(dial, 2), "10.244.3.7:8080");
  });

  test(`${switching} affinity is switched off and on again, by ${way}`, () => {
    const on = cluster();
    assert.equal(seen(on, dial).length, 1);
    on.apply({ services: [plain] });
    assert.equal(seen(on, dial).length, 3);
    on.apply({ services: [sticky] });
    assert.equal(seen(on, dial).length, 1);
  });
}

test("svc-28 a client whose pod is gone reaches a live one, once it is forgotten", () => {
  const on = cluster();
  assert.equal(on.connect(ways["cluster IP"], 1), "10.244.2.6:8080");
  on.apply({ slices: [aSlice([podOn(1, 5), podOn(3, 7)])] });
  const { dynamic } = on.tracer("node1");
  const table = { family: "ip", name: "breakwater" } as const;
  const remembered = "10.244.1.9 . 10.96.0.10 . tcp . 80 : 10.244.2.6 . 8080";
  // IPVS forgets by itself what has weight 0.
  const isInMap = on.virtualServers("node1") === undefined;
  assert.equal(dynamic.delete(table, { name: "affinity" }, remembered), isInMap);
  assert.equal(on.connect(ways["cluster IP"], 1), "10.244.3.7:8080");
  assert.deepEqual(seen(on, ways["cluster IP"]), ["10.244.3.7:8080"]);
});

test("clients are remembered by frontend: another port of the Service, another Service, another protocol is another choice", () => {
  const ports = [
    tcp80,
    { name: "admin", protocol: "TCP", port: 81 },
    { name: "http", protocol: "UDP", port: 80 },
  ] as const;
  const slicePorts = [
    { name: "http", protocol: "TCP", port: 8080 },
    { name: "admin", protocol: "TCP", port: 9090 },
    { name: "http", protocol: "UDP", port: 8080 },
  ] as const;
  const on = new ServiceCluster({
    services: [{ ...sticky, ports }],
    slices: [aSlice(endpoints, { ports: slicePorts })],
  });
  const dial = ways["cluster IP"];
  assert.equal(on.connect(dial, 0), "10.244.1.5:8080");
  assert.equal(on.connect({ ...dial, port: 81 }, 1), "10.244.2.6:9090");
  assert.equal(on.connect({ ...dial, protocol: "udp" } as typeof dial, 2), "10.244.3.7:8080");
  for (const drawn of SIXTEEN) {
    assert.equal(on.connect(dial, drawn), "10.244.1.5:8080");
    assert.equal(on.connect({ ...dial, port: 81 } as unknown as typeof dial, drawn), "10.244.2.6:9090");
    assert.equal(on.connect({ ...dial, protocol: "udp" } as typeof dial, drawn), "10.244.3.7:8080");
  }
});

test("nodes, pods that reach themselves, and pods on the host network are remembered too", () => {
  const on = cluster();
  for (const from of ["node1", "node3", "10.244.1.5", "10.244.3.7"]) {
    const dial = { from, to: "10.96.0.10", port: 80 };
    const first = on.connect(dial, 0);
    for (const drawn of SIXTEEN) assert.equal(on.connect(dial, drawn), first, from);
  }
  const host = new ServiceCluster({
    services: [sticky],
    slices: [aSlice([podOn(1, 5), { ...podOn(1, 6), address: "192.168.1.11" }])],
  });
  const dial = { from: "node1", to: "10.96.0.10", port: 80 };
  assert.equal(host.connect(dial, 1), "192.168.1.11:8080");
  for (const drawn of SIXTEEN) assert.equal(host.connect(dial, drawn), "192.168.1.11:8080");
});

test("affinity holds under externalTrafficPolicy Local for who is outside, among this node's endpoints", () => {
  const local = { ...sticky, externalPolicy: "Local" } as const;
  const on = new ServiceCluster({ services: [local], slices: [aSlice([podOn(3, 5), podOn(3, 6), podOn(1, 7)])] });
  assert.equal(on.connect(ways.NodePort, 1), "10.244.3.6:8080");
  for (const drawn of SIXTEEN) assert.equal(on.connect(ways.NodePort, drawn), "10.244.3.6:8080");
});

test("affinity over IPv6", () => {
  const six = { ...sticky, clusterIps: ["fd00:10:96::a"] };
  const on = new ServiceCluster({ services: [six], slices: [aSlice([pod6On(1, 5), pod6On(2, 6)])] });
  const dial = { from: "fd00:10:244:1::9", to: "fd00:10:96::a", port: 80 };
  assert.equal(on.connect(dial, 1), "[fd00:10:244:2::6]:8080");
  for (const drawn of SIXTEEN) assert.equal(on.connect(dial, drawn), "[fd00:10:244:2::6]:8080");
});

test("a Service with affinity and without endpoints refuses", () => {
  const on = new ServiceCluster({ services: [sticky], slices: [] });
  for (const dial of Object.values(ways)) assert.deepEqual(on.dial(dial), ["rejected (tcp reset)"]);
});
