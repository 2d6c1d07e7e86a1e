/** Endpoints that go away (KEP-1669, KEP-1672): they serve where no ready one does. Rows "terminating". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterService, SliceEndpoint } from "../../model/service.ts";
import { planService } from "./frontends.ts";
import { aService, aSlice, node1, tcp80 } from "./testing/objects.ts";
import { podOn, ServiceCluster } from "./testing/service-cluster.ts";

const VIP = "10.96.0.10";
const going = { ready: false, serving: true, terminating: true } as const;
const gone = { ready: false, serving: false, terminating: true } as const;
const web = aService({ type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] });
const POD = ["10.244.1.5:8080"];

function cluster(service: Partial<ClusterService>, ...endpoints: SliceEndpoint[]): ServiceCluster {
  return new ServiceCluster({ services: [{ ...web, ...service }], slices: [aSlice(endpoints)] });
}

test("svc-35 the health check fails with only a terminating endpoint here, while that still gets traffic", () => {
  const service: ClusterService = { ...web, type: "LoadBalancer", externalPolicy: "Local", healthCheckNodePort: 32000 };
  const plan = planService(service, [aSlice([podOn(1, 5, going)])], node1);
  assert.deepEqual(plan.healthCheck, { port: 32000, localEndpoints: 0 });
  const dial = { from: "outside", to: "192.168.1.11", port: 30080 };
  assert.deepEqual(cluster(service, podOn(1, 5, going)).reached(dial), POD);
});

test("svc-36 internalTrafficPolicy Cluster falls back on the only pod, which terminates, from every node", () => {
  for (const from of ["10.244.1.9", "10.244.2.9", "node1", "node2"]) {
    assert.deepEqual(cluster({}, podOn(1, 5, going)).reached({ from, to: VIP, port: 80 }), POD, from);
  }
});

test("svc-37 internalTrafficPolicy Local falls back on its own node, and drops on another", () => {
  const local = cluster({ internalPolicy: "Local" }, podOn(1, 5, going));
  for (const from of ["10.244.1.9", "node1"]) assert.deepEqual(local.reached({ from, to: VIP, port: 80 }), POD, from);
  for (const from of ["10.244.2.9", "node2"]) {
    assert.deepEqual(local.reached({ from, to: VIP, port: 80 }), ["dropped"], from);
  }
});

test("svc-38 externalTrafficPolicy Cluster falls back: the NodePort answers from every node", () => {
  const service = cluster({}, podOn(1, 5, going));
  for (const from of ["node1", "node2", "10.244.2.9", "outside"]) {
    for (const to of ["192.168.1.11", "192.168.1.12"]) {
      assert.deepEqual(service.reached({ from, to, port: 30080 }), POD, `${from} to ${to}`);
    }
  }
});

test("svc-39 externalTrafficPolicy Local falls back on the pod's node; another node's port fails from a pod elsewhere", () => {
  const service = cluster({ externalPolicy: "Local" }, podOn(1, 5, going));
  for (const from of ["10.244.1.9", "10.244.2.9", "node2"]) {
    assert.deepEqual(service.reached({ from, to: "192.168.1.11", port: 30080 }), POD, from);
  }
  assert.deepEqual(service.reached({ from: "10.244.1.9", to: "192.168.1.12", port: 30080 }), ["dropped"]);
});

test("svc-40 publishNotReadyAddresses true: an unready, terminating pod is ready to the API, and served everywhere", () => {
  const service = cluster({}, podOn(1, 5, { ready: true, serving: false, terminating: true }));
  for (const from of ["10.244.1.9", "10.244.2.9", "node2"]) {
    assert.deepEqual(service.reached({ from, to: VIP, port: 80 }), POD, from);
    for (const to of ["192.168.1.11", "192.168.1.12"]) {
      assert.deepEqual(service.reached({ from, to, port: 30080 }), POD, `${from} to ${to}`);
    }
  }
});

test("svc-41 publishNotReadyAddresses false: an unready, terminating pod is served nowhere", () => {
  const service = cluster({}, podOn(1, 5, gone));
  for (const from of ["10.244.1.9", "10.244.2.9", "node2"]) {
    assert.deepEqual(service.reached({ from, to: VIP, port: 80 }), ["rejected (tcp reset)"], from);
    for (const to of ["192.168.1.11", "192.168.1.12"]) {
      assert.deepEqual(service.reached({ from, to, port: 30080 }), ["rejected (tcp reset)"], `${from} to ${to}`);
    }
  }
});

test("one ready endpoint is enough for terminating ones to get nothing, in the set that is chosen", () => {
  const elsewhere = [podOn(1, 5, going), podOn(2, 6)];
  const ready = ["10.244.2.6:8080"];
  assert.deepEqual(cluster({}, ...elsewhere).reached({ from: "10.244.1.9", to: VIP, port: 80 }), ready);
  // Here the chosen set is this node's, in which none is ready.
  const local = cluster({ internalPolicy: "Local", externalPolicy: "Local" }, ...elsewhere);
  assert.deepEqual(local.reached({ from: "10.244.1.9", to: VIP, port: 80 }), POD);
  assert.deepEqual(local.reached({ from: "outside", to: "192.168.1.11", port: 30080 }), POD);
  const here = cluster({ internalPolicy: "Local", externalPolicy: "Local" }, podOn(1, 5, going), podOn(1, 7));
  assert.deepEqual(here.reached({ from: "10.244.1.9", to: VIP, port: 80 }), ["10.244.1.7:8080"]);
  assert.deepEqual(here.reached({ from: "outside", to: "192.168.1.11", port: 30080 }), ["10.244.1.7:8080"]);
});
