/** Objects that no controller would write, and clusters that grew strangely: served as well as can be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterService } from "../../model/service.ts";
import { planService } from "./frontends.ts";
import { noneTouched, ServiceLedger } from "./ledger.ts";
import { claimFrontends, planServiceTable } from "./table.ts";
import { anEndpoint, aService, aSlice, node1, tcp80 } from "./testing/objects.ts";
import { randomCluster, randomNumbers } from "./testing/random-services.ts";
import { podOn, ServiceCluster } from "./testing/service-cluster.ts";

const VIP = "10.96.0.10";
const fromPod = { from: "10.244.1.9", to: VIP, port: 80 };
const REFUSED = ["rejected (tcp reset)"];

test("slices without endpoints, or without ports, are no endpoints", () => {
  for (const slice of [aSlice([]), aSlice([podOn(1, 5)], { ports: [] })]) {
    assert.deepEqual(new ServiceCluster({ services: [aService()], slices: [slice] }).reached(fromPod), REFUSED);
  }
});

test("an address that several slices have is one endpoint", () => {
  const slices = [1, 2, 3].map((n) => aSlice([podOn(1, 5), podOn(1, 5)], { name: `s${n}` }));
  const plan = planService(aService(), slices, node1);
  assert.deepEqual(plan.frontends[0]?.endpoints, ["10.244.1.5 . 8080"]);
  const port = aSlice([podOn(1, 5)], {
    name: "twice",
    ports: [8080, 8080].map((p) => ({ name: "http", protocol: "TCP", port: p })),
  });
  assert.deepEqual(planService(aService(), [port], node1).frontends[0]?.endpoints, ["10.244.1.5 . 8080"]);
});

test("one pod behind two Services serves both, and stays reachable by itself when one goes", () => {
  const services = [aService(), aService({ name: "other", clusterIps: ["10.96.0.11"] })];
  const slices = [aSlice([podOn(1, 5)]), aSlice([podOn(1, 5)], { service: "other" })];
  const cluster = new ServiceCluster({ services, slices });
  const itself = { from: "10.244.1.5", to: "10.96.0.11", port: 80 };
  assert.deepEqual(cluster.dial(itself), ["10.244.1.5:8080 from 192.168.1.11"]);
  cluster.apply({ services: services.slice(1), slices: slices.slice(1) });
  assert.deepEqual(cluster.dial(itself), ["10.244.1.5:8080 from 192.168.1.11"]);
});

test("a Service without ports has its cluster IP, where everything is refused", () => {
  const cluster = new ServiceCluster({ services: [aService({ ports: [] })], slices: [aSlice([podOn(1, 5)])] });
  assert.deepEqual(cluster.reached(fromPod), REFUSED);
});

test("a thousand endpoints are a thousand outcomes", () => {
  const endpoints = Array.from({ length: 1000 }, (_, i) => anEndpoint(`10.244.${2 + (i >> 8)}.${i & 255}`));
  const plan = planService(aService(), [aSlice(endpoints)], node1);
  assert.equal(plan.frontends[0]?.endpoints.length, 1000);
  const cluster = new ServiceCluster({ services: [aService()], slices: [aSlice(endpoints)] });
  assert.equal(cluster.reached(fromPod).length, 1000);
});

test("a Service's external IP that is a node's address and its NodePort: one frontend, and no conflict with itself", () => {
  const clash = aService({
    type: "NodePort",
    ports: [{ ...tcp80, port: 30080, nodePort: 30080 }],
    externalIps: ["192.168.1.11"],
  });
  const plan = planService(clash, [aSlice([podOn(2, 6)])], node1);
  const keys = plan.frontends.map(({ key }) => key);
  assert.deepEqual(keys.length, new Set(keys).size);
  assert.deepEqual(claimFrontends([plan]).conflicts, []);
  const ledger = new ServiceLedger();
  ledger.set(plan.key, plan, noneTouched());
  assert.deepEqual(ledger.conflicts(), []);
  const cluster = new ServiceCluster({ services: [clash], slices: [aSlice([podOn(2, 6)])] });
  assert.deepEqual(cluster.reached({ from: "outside", to: "192.168.1.11", port: 30080 }), ["10.244.2.6:8080"]);
});

test("an external IP that is a node's address and another Service's NodePort: the older one has it", () => {
  const nodePort = aService({ type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] });
  const external = aService({
    name: "external",
    createdAt: "2025-01-01T00:00:00Z",
    clusterIps: ["10.96.0.11"],
    ports: [{ ...tcp80, port: 30080 }],
    externalIps: ["192.168.1.11"],
  });
  const slices = [aSlice([podOn(1, 5)]), aSlice([podOn(2, 6)], { service: "external" })];
  const cluster = new ServiceCluster({ services: [nodePort, external], slices });
  const reached = (to: string) => cluster.reached({ from: "outside", to, port: 30080 });
  assert.deepEqual([reached("192.168.1.11"), reached("192.168.1.12")], [["10.244.2.6:8080"], ["10.244.1.5:8080"]]);
  cluster.apply({ services: [nodePort] });
  assert.deepEqual(reached("192.168.1.11"), ["10.244.1.5:8080"]);
});

test("two Services with one external IP and port: the older one wins, the loser gets it when that one goes", () => {
  const claimant = (name: string, clusterIp: string, createdAt: string): ClusterService =>
    aService({ name, clusterIps: [clusterIp], createdAt, externalIps: ["198.51.100.7"] });
  const older = claimant("older", "10.96.0.11", "2026-01-01T00:00:00Z");
  const younger = claimant("a-younger", "10.96.0.12", "2026-01-02T00:00:00Z");
  const slices = [aSlice([podOn(1, 5)], { service: "older" }), aSlice([podOn(2, 6)], { service: "a-younger" })];
  const dial = { from: "outside", to: "198.51.100.7", port: 80 };
  const cluster = new ServiceCluster({ services: [younger, older], slices });
  assert.deepEqual(cluster.reached(dial), ["10.244.1.5:8080"]);
  assert.deepEqual(cluster.reached({ ...fromPod, to: "10.96.0.12" }), ["10.244.2.6:8080"], "its cluster IP is its own");
  cluster.apply({ services: [younger] });
  assert.deepEqual(cluster.reached(dial), ["10.244.2.6:8080"]);
});

for (const createdAt of ["2025-01-01T00:00:00Z", "2026-03-01T00:00:00Z"]) {
  test(`a cluster IP is its own Service's, whoever names it as an external one: a thief of ${createdAt}`, () => {
    const thief = aService({ name: "thief", clusterIps: ["10.96.0.66"], externalIps: [VIP], createdAt });
    const slices = [aSlice([podOn(1, 5)]), aSlice([podOn(2, 6)], { service: "thief" })];
    const cluster = new ServiceCluster({ services: [thief, aService()], slices });
    assert.deepEqual(cluster.reached(fromPod), ["10.244.1.5:8080"]);
  });
}

test("names that are too long for a comment are cut, and no frontend is lost", () => {
  const name = "n".repeat(63);
  const long = aService({ namespace: "s".repeat(63), name, ports: [{ ...tcp80, name: "p".repeat(15) }] });
  const plan = planService(long, [], node1);
  const table = planServiceTable({
    ...{ family: 4, podCidrs: [], serviceCidrs: [], dropInvalid: true, counters: false },
    plans: [{ ...plan, frontends: plan.frontends.map((frontend) => ({ ...frontend, endpoints: ["10.244.1.5 . 1"] })) }],
  });
  const [element = ""] = table.sets.find((set) => set.name === "services")?.elements ?? [];
  const [, comment = ""] = /comment "([^"]*)"/.exec(element) ?? [];
  assert.equal(comment.length, 127);
});

test("planServiceTable() makes the same bytes of Services, slices and endpoints in any order: 60 random clusters", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = randomNumbers(seed);
    const { services, slices, slicesOf } = randomCluster(random);
    const tables = (list: readonly ClusterService[], of: typeof slicesOf) =>
      ([4, 6] as const).map((family) =>
        planServiceTable({
          ...{ family, podCidrs: [], serviceCidrs: [], dropInvalid: true, counters: false },
          plans: list.map((service) => planService(service, of(service), node1)),
        }),
      );
    const reversed = slices.toReversed().map((slice) => ({ ...slice, endpoints: slice.endpoints.toReversed() }));
    const other = tables(services.toReversed(), (service) =>
      reversed.filter((slice) => slice.service === service.name),
    );
    assert.deepEqual(other, tables(services, slicesOf), `seed ${seed}`);
  }
});
