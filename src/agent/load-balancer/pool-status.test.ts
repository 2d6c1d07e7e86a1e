/** What is written into the status of pools, and how often. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { asArray, asObject, type JsonObject } from "../../kube/json.ts";
import { parseLoadBalancerPool } from "../../kube/parse-load-balancer-pool.ts";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { AddressPool } from "../../model/load-balancer.ts";
import { planAllocations } from "../../plan/load-balancer/allocate.ts";
import { aBalanced, aPool } from "../../plan/load-balancer/testing/objects.ts";
import { PoolStatusWriter } from "./pool-status.ts";

function rig(fails = false) {
  const clock = new ManualClock();
  const writes: JsonObject[] = [];
  const writer = new PoolStatusWriter({
    client: {
      patch: async (_address, patch) => {
        writes.push(patch as JsonObject);
        if (fails) throw new Error("down");
        return {};
      },
    },
    clock,
    log: { warn: () => undefined },
    wallClock: () => Date.UTC(2026, 0, 1),
  });
  const follow = async (pool: AddressPool, held: readonly string[][]) => {
    const services = held.map((ips, i) => aBalanced(`s${i}`, { held: ips }));
    writer.follow(planAllocations({ services, pools: [pool], namespaces: new Map() }));
    clock.advance(500);
    await setImmediate();
  };
  return { writes, follow };
}

const POOL = aPool("p", ["192.0.2.1-192.0.2.9", "2001:db8::1"]);

test("PoolStatusWriter writes how much of a pool is used, once, and what the parser reads again", async () => {
  const { writes, follow } = rig();
  await follow(POOL, [["192.0.2.3"], ["192.0.2.4"]]);
  const status = {
    assignedIPv4: 2,
    assignedIPv6: 0,
    availableIPv4: 7,
    availableIPv6: 1,
    conditions: [
      {
        type: "Usable",
        status: "True",
        reason: "Usable",
        message: "all of the pool is understood, and overlaps no other",
        observedGeneration: 1,
        lastTransitionTime: "2026-01-01T00:00:00Z",
      },
    ],
  };
  assert.deepEqual(writes, [
    { apiVersion: "breakwater.dev/v1alpha1", kind: "LoadBalancerPool", metadata: { name: "p" }, status },
  ]);
  await follow(POOL, [["192.0.2.3"], ["192.0.2.4"]]);
  assert.equal(writes.length, 1);
  // Another leader, who reads what this one wrote.
  const spec = { addresses: ["192.0.2.1-192.0.2.9", "2001:db8::1/128"] };
  const read = parseLoadBalancerPool(
    { metadata: { name: "p", uid: "uid-p", generation: 1 }, spec, status },
    assert.fail,
  );
  const other = rig();
  await other.follow(read, [["192.0.2.3"], ["192.0.2.4"]]);
  assert.deepEqual(other.writes, []);
  await other.follow(read, [["192.0.2.3"]]);
  assert.equal(other.writes.length, 1);
});

test("PoolStatusWriter says what is wrong, and since when", async () => {
  const { writes, follow } = rig();
  const before = { status: "False", message: "x", observedGeneration: 1, lastTransitionTime: "2025-01-01T00:00:00Z" };
  const none = { ipv4: 0, ipv6: 0 };
  const status = { assigned: none, available: none, usable: before };
  await follow({ ...POOL, problems: ["spec.a: b"], status }, []);
  const [condition] = asArray(asObject(writes[0]?.["status"])?.["conditions"])?.map(asObject) ?? [];
  assert.deepEqual(
    [condition?.["status"], condition?.["reason"], condition?.["message"], condition?.["lastTransitionTime"]],
    ["False", "NotAllUsable", "spec.a: b", "2025-01-01T00:00:00Z"],
  );
});

test("PoolStatusWriter tries again at the next change when it could not write", async () => {
  const { writes, follow } = rig(true);
  await follow(POOL, []);
  await follow(POOL, []);
  assert.equal(writes.length, 2);
});
