/** Plans kept while single ones change are what plans made at once are, whatever happened in between. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServicePlan } from "../../model/frontend.ts";
import type { ClusterService } from "../../model/service.ts";
import { frontendNeeds } from "./elements.ts";
import { planService } from "./frontends.ts";
import { elementFamily, noneTouched, ServiceLedger } from "./ledger.ts";
import { claimFrontends, clusterIps, hairpins } from "./table.ts";
import { anEndpoint, aService, aSlice, node1 } from "./testing/objects.ts";
import { randomCluster, randomNumbers } from "./testing/random-services.ts";

const EXTERNAL = "198.51.100.7";
const [older, younger] = ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"];

function claimant(name: string, createdAt: string, endpoint: string): ServicePlan {
  const service: ClusterService = aService({
    name,
    createdAt,
    clusterIps: [`10.96.1.${name.length}`],
    externalIps: [EXTERNAL],
  });
  return planService(service, [aSlice([anEndpoint(endpoint)], { service: name })], node1);
}

const KEY = `${EXTERNAL} . tcp . 80`;
const first = claimant("first", older, "10.244.2.1");
const second = claimant("second", younger, "10.244.2.2");
const third = claimant("thirdly", younger, "10.244.2.3");

test("ServiceLedger gives a frontend that several claim to the oldest, whatever the order", () => {
  for (const order of [
    [first, second, third],
    [third, second, first],
    [second, first, third],
  ]) {
    const ledger = new ServiceLedger();
    for (const plan of order) ledger.set(plan.key, plan, noneTouched());
    assert.equal(ledger.frontend(KEY)?.service, "default/first:http");
    assert.deepEqual(ledger.conflicts(), [
      { key: KEY, loser: "default/second", winner: "default/first" },
      { key: KEY, loser: "default/thirdly", winner: "default/first" },
    ]);
  }
});

test("ServiceLedger gives the frontend to the next one when the oldest goes, by age and then by name", () => {
  const ledger = new ServiceLedger();
  for (const plan of [third, second, first]) ledger.set(plan.key, plan, noneTouched());
  const touched = noneTouched();
  ledger.set(first.key, undefined, touched);
  assert.ok(touched.frontends.has(KEY));
  assert.equal(ledger.frontend(KEY)?.service, "default/second:http");
  ledger.set(second.key, undefined, noneTouched());
  assert.equal(ledger.frontend(KEY)?.service, "default/thirdly:http");
  assert.deepEqual(ledger.conflicts(), []);
  ledger.set(third.key, undefined, noneTouched());
  assert.equal(ledger.frontend(KEY), undefined);
});

test("ServiceLedger gives the frontend back when the older one comes back, or claims it later", () => {
  const ledger = new ServiceLedger();
  ledger.set(second.key, second, noneTouched());
  const touched = noneTouched();
  ledger.set(first.key, first, touched);
  assert.ok(touched.frontends.has(KEY));
  assert.equal(ledger.frontend(KEY)?.endpoints[0], "10.244.2.1 . 8080");
});

test("ServiceLedger counts addresses that several have", () => {
  const ledger = new ServiceLedger();
  const here = [aSlice([anEndpoint("10.244.1.5", { nodeName: "node1" })])];
  const plans = ["web", "other"].map((name) => planService(aService({ name }), here, node1));
  for (const plan of plans) ledger.set(plan.key, plan, noneTouched());
  const hairpin = "10.244.1.5 . 10.244.1.5";
  assert.deepEqual([[...ledger.hairpins()], [...ledger.clusterIps()]], [[hairpin], ["10.96.0.10"]]);
  ledger.set("default/web", undefined, noneTouched());
  assert.deepEqual([ledger.hasHairpin(hairpin), ledger.hasClusterIp("10.96.0.10")], [true, true]);
  ledger.set("default/other", undefined, noneTouched());
  assert.deepEqual([ledger.hasHairpin(hairpin), ledger.hasClusterIp("10.96.0.10"), ledger.size], [false, false, 0]);
});

test("ServiceLedger forgets what it never knew, and touches nothing by that", () => {
  const touched = noneTouched();
  new ServiceLedger().set("default/nosuch", undefined, touched);
  assert.deepEqual(touched, noneTouched());
});

test("ServiceLedger is what the plans at the end are: 40 random histories of 60 changes", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = randomNumbers(seed);
    const ledger = new ServiceLedger();
    const plans = new Map<string, ServicePlan>();
    for (let step = 0; step < 60; step++) {
      const { services, slicesOf } = randomCluster(random);
      const service = services[random(services.length)] as ClusterService;
      const plan = random(4) === 0 ? undefined : planService(service, slicesOf(service), node1);
      const key = `${service.namespace}/${service.name}`;
      const touched = noneTouched();
      const served = (name: string) => JSON.stringify(ledger.frontend(name));
      const before = new Map([...ledger.frontends()].map((name) => [name, served(name)]));
      ledger.set(key, plan, touched);
      if (plan === undefined) plans.delete(key);
      else plans.set(key, plan);
      for (const name of new Set([...before.keys(), ...ledger.frontends()])) {
        if (served(name) !== before.get(name)) assert.ok(touched.frontends.has(name), `seed ${seed}: ${name} changed`);
      }
    }
    assertSame(ledger, [...plans.values()], `seed ${seed}`);
  }
});

function assertSame(ledger: ServiceLedger, plans: readonly ServicePlan[], message: string): void {
  const { frontends, conflicts } = claimFrontends(plans);
  const kept = [...ledger.frontends()].sort();
  assert.deepEqual(kept, [...frontends.keys()].sort(), message);
  for (const key of kept) assert.deepEqual(ledger.frontend(key), frontends.get(key), message);
  const byText = (values: readonly object[]) => values.map((value) => JSON.stringify(value)).sort();
  assert.deepEqual(byText(ledger.conflicts()), byText(conflicts), message);
  for (const family of [4, 6] as const) {
    const ours = [...frontends.values()].filter((frontend) => frontend.family === family);
    assert.deepEqual([...ledger.needs(family)].sort(), [...new Set(ours.flatMap(frontendNeeds))].sort(), message);
    const ofFamily = (elements: Iterable<string>) =>
      [...elements].filter((each) => elementFamily(each) === family).sort();
    assert.deepEqual(ofFamily(ledger.clusterIps()), clusterIps(plans, family), message);
    assert.deepEqual(ofFamily(ledger.hairpins()), hairpins(plans, family), message);
  }
}
