/** What holds of every plan, for random pools and Services that change again and again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ipFamily } from "../../model/ip.ts";
import type { AddressPool, BalancedService } from "../../model/load-balancer.ts";
import { serviceKey } from "../../model/service.ts";
import { type AllocationPlan, planAllocations } from "./allocate.ts";
import { sharingRefusal } from "./sharing.ts";
import { aBalanced, aPool, labelled, namespaces } from "./testing/objects.ts";

type Random = (below: number) => number;

function randomNumbers(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const pick = <T>(random: Random, values: readonly T[]): T => values[random(values.length)] as T;
const NAMESPACES = namespaces(["default", { team: "red" }], ["other", { team: "blue" }]);
const RANGES = ["192.0.2.0-192.0.2.3", "192.0.2.2-192.0.2.4", "192.0.2.254-192.0.3.1", "2001:db8::-2001:db8::3"];
const ADDRESSES = ["192.0.2.1", "192.0.2.2", "192.0.2.254", "198.51.100.1", "2001:db8::1", "2001:db8::9"];

function randomPools(random: Random): AddressPool[] {
  return ["a", "b"]
    .filter(() => random(4) > 0)
    .map((name) =>
      aPool(
        name,
        RANGES.filter(() => random(2) === 0),
        {
          autoAssign: random(4) > 0,
          avoidBuggyIps: random(2) === 0,
          ...(random(4) === 0 ? { namespaces: labelled("team", "red") } : {}),
          ...(random(4) === 0 ? { services: labelled("app", "web") } : {}),
        },
      ),
    );
}

function randomService(random: Random, i: number): BalancedService {
  const wanted = random(4) === 0 ? [pick(random, ADDRESSES)] : [];
  return aBalanced(`s${i}`, {
    namespace: pick(random, ["default", "default", "other"]),
    createdAt: `2026-01-0${1 + random(3)}T00:00:00Z`,
    isOurs: random(8) > 0,
    labels: random(2) === 0 ? { app: "web" } : {},
    families: pick(random, [[4], [6], [4, 6], [6, 4]] as const),
    needsAllFamilies: random(4) === 0,
    ports: [{ protocol: pick(random, ["TCP", "UDP"] as const), port: 80 + random(2) }],
    selector: pick(random, ["app=x", "app=y"]),
    externalPolicy: pick(random, ["Cluster", "Local"] as const),
    wantedIps: wanted,
    wantedPool: random(6) === 0 ? pick(random, ["a", "b", "c"]) : "",
    sharingKey: pick(random, ["", "", "k", "l"]),
    held: random(3) === 0 ? ADDRESSES.filter(() => random(4) === 0) : [],
    problems: random(10) === 0 ? ["odd"] : [],
  });
}

const text = (plan: AllocationPlan) =>
  JSON.stringify([...plan.services].map(([key, { ips, problems }]) => [key, ips, problems]));

/** What the API says once the plan is written. */
function written(services: readonly BalancedService[], plan: AllocationPlan): BalancedService[] {
  return services.map((each) => ({ ...each, held: plan.services.get(serviceKey(each))?.ips ?? each.held }));
}

function checkPlan(services: readonly BalancedService[], plan: AllocationPlan): void {
  const now = written(services, plan);
  for (const [i, a] of now.entries()) {
    const families = a.held.map(ipFamily);
    if (a.isOurs) {
      assert.equal(new Set(families).size, families.length, "one of a family");
      assert.ok(
        families.every((family) => a.families.includes(family)),
        "only of its families",
      );
    }
    for (const b of now.slice(i + 1)) {
      const common = a.held.filter((ip) => b.held.includes(ip));
      if (common.length === 0 || (!a.isOurs && !b.isOurs)) continue;
      assert.deepEqual([sharingRefusal(a, b), sharingRefusal(b, a)], [undefined, undefined], `${common} is had twice`);
    }
  }
}

test("planAllocations() gives no address twice, settles in one step, and knows no order", () => {
  for (let seed = 1; seed <= 1500; seed++) {
    const random = randomNumbers(seed);
    const services = Array.from({ length: 1 + random(7) }, (_, i) => randomService(random, i));
    const pools = randomPools(random);
    const plan = planAllocations({ services, pools, namespaces: NAMESPACES });
    checkPlan(services, plan);
    const shuffled = [...services].sort(() => random(3) - 1);
    const other = planAllocations({ services: shuffled, pools: [...pools].reverse(), namespaces: NAMESPACES });
    assert.equal(text(other), text(plan), `seed ${seed}: order of the input`);
    const after = planAllocations({ services: written(services, plan), pools, namespaces: NAMESPACES });
    const ips = (each: AllocationPlan) => [...each.services].map(([key, value]) => [key, value.ips]);
    assert.deepEqual(ips(after), ips(plan), `seed ${seed}: a second plan changes nothing`);
  }
});

test("planAllocations() takes nobody an address because others come, go and ask, or pools change", () => {
  for (let seed = 1; seed <= 600; seed++) {
    const random = randomNumbers(seed);
    let services: readonly BalancedService[] = [];
    for (let step = 0; step < 8; step++) {
      const stays = services.filter(() => random(4) > 0);
      const fresh = Array.from({ length: random(3) }, (_, i) => ({
        ...randomService(random, 10 * step + i),
        isOurs: true,
        held: [],
      }));
      const plan = planAllocations({
        services: [...stays, ...fresh],
        pools: randomPools(random),
        namespaces: NAMESPACES,
      });
      for (const service of stays) {
        const now = plan.services.get(serviceKey(service))?.ips ?? [];
        const lost = service.held.filter((ip) => !now.includes(ip));
        // An address goes only for one of its family that the Service itself asks for.
        for (const ip of lost) {
          const instead = now.find((other) => ipFamily(other) === ipFamily(ip)) ?? "";
          assert.ok(service.wantedIps.includes(instead), `seed ${seed}: ${service.name} lost ${ip}`);
        }
      }
      services = written([...stays, ...fresh], plan);
    }
  }
});
