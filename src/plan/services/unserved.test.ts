/** Services that no proxy serves, or not this one, and types that change. Rows "headless" and "type-change". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterService } from "../../model/service.ts";
import { isServed, planService } from "./frontends.ts";
import { aService, aSlice, node1, tcp80 } from "./testing/objects.ts";
import { podOn, ServiceCluster } from "./testing/service-cluster.ts";

const slices = [aSlice([podOn(1, 5)])];
const web = aService({ type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] });
const UP = ["10.244.1.5:8080"];

/** What the cluster IP and the NodePort give. */
function dials(cluster: ServiceCluster): string[][] {
  const vip = { from: "10.244.2.9", to: "10.96.0.10", port: 80 };
  return [cluster.reached(vip), cluster.reached({ from: "outside", to: "192.168.1.13", port: 30080 })];
}
const served = [UP, UP];
/** Nobody has the cluster IP; the NodePort's number is the node's own. */
const unserved = [["dropped"], ["192.168.1.13:30080"]];

for (const [id, name, leftTo] of [
  ["svc-45", "service.kubernetes.io/headless", "headless"],
  ["svc-46", "service.kubernetes.io/service-proxy-name", { proxy: "other" }],
] as const) {
  test(`${id} a Service with the label ${name} is down while it has it, and up without`, () => {
    const labelled: ClusterService = { ...web, leftTo };
    const cluster = new ServiceCluster({ services: [labelled], slices });
    assert.deepEqual(dials(cluster), unserved);
    cluster.apply({ services: [web] });
    assert.deepEqual(dials(cluster), served);
    cluster.apply({ services: [labelled] });
    assert.deepEqual(dials(cluster), unserved);
  });
}

test("svc-47 rules appear and vanish with the type: ExternalName, ClusterIP, NodePort", () => {
  const named: ClusterService = { ...web, type: "ExternalName", clusterIps: [], ports: [] };
  const cluster = new ServiceCluster({ services: [named], slices });
  assert.deepEqual(dials(cluster), unserved);
  cluster.apply({ services: [aService()] });
  assert.deepEqual(dials(cluster), [UP, ["192.168.1.13:30080"]]);
  cluster.apply({ services: [web] });
  assert.deepEqual(dials(cluster), served);
  cluster.apply({ services: [named] });
  assert.deepEqual(dials(cluster), unserved);
  // The API leaves a cluster IP where it is in an ExternalName that keeps it.
  cluster.apply({ services: [{ ...web, type: "ExternalName" }] });
  assert.deepEqual(dials(cluster), unserved);
});

test("planService() makes nothing of what is not served, and forgets nothing that conflicts need", () => {
  const unservedServices: ClusterService[] = [
    { ...web, type: "ExternalName" },
    { ...web, clusterIps: [] },
    { ...web, leftTo: "headless" },
    { ...web, leftTo: { proxy: "other" } },
  ];
  for (const service of unservedServices) {
    assert.equal(isServed(service), false);
    const { key, createdAt, frontends, clusterIps, localAddresses, healthCheck } = planService(service, slices, node1);
    assert.deepEqual([key, createdAt], ["default/web", "2026-01-01T00:00:00Z"]);
    assert.deepEqual([frontends, clusterIps, localAddresses, healthCheck], [[], [], [], undefined]);
  }
  assert.equal(isServed(web), true);
});
