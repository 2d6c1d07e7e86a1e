/** Services of one family and of both. Rows "dual-stack". */
import assert from "node:assert/strict";
import { test } from "node:test";
import { planService } from "./frontends.ts";
import { aService, aSlice, node1, tcp80 } from "./testing/objects.ts";
import { pod6On, podOn, ServiceCluster } from "./testing/service-cluster.ts";

const V4 = "10.96.0.10";
const V6 = "fd00:10:96::a";
const slices = [aSlice([podOn(1, 5), podOn(2, 6)]), aSlice([pod6On(1, 5), pod6On(2, 6)], { name: "web-6" })];
const FOUR = ["10.244.1.5:8080", "10.244.2.6:8080"];
const SIX = ["[fd00:10:244:1::5]:8080", "[fd00:10:244:2::6]:8080"];
const clients = { 4: ["10.244.1.9", "10.244.3.9"], 6: ["fd00:10:244:1::9", "fd00:10:244:3::9"] } as const;

const stacks: [string, string[], boolean, boolean][] = [
  ["ipv4 only", [V4], true, false],
  ["ipv6 only", [V6], false, true],
  ["ipv4, ipv6", [V4, V6], true, true],
  ["ipv6, ipv4", [V6, V4], true, true],
];
for (const [name, clusterIps, has4, has6] of stacks) {
  test(`svc-56 ${name}: each family that the Service has answers with its own endpoints, the other is nobody's`, () => {
    const service = aService({ clusterIps, type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] });
    const cluster = new ServiceCluster({ services: [service], slices });
    for (const [family, has, vip, node, endpoints] of [
      [4, has4, V4, "192.168.1.13", FOUR],
      [6, has6, V6, "fd00:192:168:1::13", SIX],
    ] as const) {
      for (const from of clients[family]) {
        const own = family === 4 ? `${node}:30080` : `[${node}]:30080`;
        assert.deepEqual(cluster.reached({ from, to: vip, port: 80 }), has ? endpoints : ["dropped"], from);
        assert.deepEqual(cluster.reached({ from, to: node, port: 30080 }), has ? endpoints : [own], from);
      }
    }
  });
}

test("svc-56 a family in which the Service has no cluster IP is left alone, with what addresses it has otherwise", () => {
  const service = aService({ externalIps: ["2001:db8:1::7"], loadBalancerIps: ["2001:db8::9"], type: "LoadBalancer" });
  const plan = planService(service, slices, node1);
  assert.deepEqual(
    plan.frontends.map(({ key }) => key),
    ["10.96.0.10 . tcp . 80"],
  );
});

test("svc-56 endpoints of one family do not serve the other", () => {
  const service = aService({ clusterIps: [V4, V6] });
  const cluster = new ServiceCluster({ services: [service], slices: slices.slice(1) });
  assert.deepEqual(cluster.reached({ from: clients[4][0], to: V4, port: 80 }), ["rejected (tcp reset)"]);
  assert.deepEqual(cluster.reached({ from: clients[6][0], to: V6, port: 80 }), SIX);
});

for (const [protocol, name] of [
  ["tcp", "TCP"],
  ["udp", "UDP"],
  ["sctp", "SCTP"],
] as const) {
  test(`svc-57 ${name}: pods, nodes and endpoints reach all endpoints over the second family`, () => {
    const ports = [{ name: "x", protocol: name, port: 80, nodePort: 30080 }];
    const service = aService({ clusterIps: [V4, V6], type: "NodePort", ports });
    const six = aSlice([pod6On(1, 5), pod6On(2, 6)], { ports: [{ name: "x", protocol: name, port: 8080 }] });
    const cluster = new ServiceCluster({ services: [service], slices: [six] });
    for (const from of ["fd00:10:244:3::9", "fd00:10:244:1::5", "fd00:10:244:2::6", "node1", "node2", "node3"]) {
      for (const number of [1, 2, 3]) {
        const to = `fd00:192:168:1::1${number}`;
        assert.deepEqual(cluster.reached({ from, to, port: 30080, protocol }), SIX, `${from} to ${to}`);
      }
      assert.deepEqual(cluster.reached({ from, to: V6, port: 80, protocol }), SIX, from);
    }
    assert.deepEqual(cluster.reached({ from: "outside", to: "fd00:192:168:1::13", port: 30080, protocol }), SIX);
  });
}
