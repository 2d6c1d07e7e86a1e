/** The allocator against Services in memory that take a status only for the version that it was made for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { KubeApiError } from "../../kube/api-error.ts";
import { asObject, type JsonObject } from "../../kube/json.ts";
import type { ObjectAddress } from "../../kube/resource.ts";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { AddressPool, BalancedService } from "../../model/load-balancer.ts";
import { aBalanced, aPool } from "../../plan/load-balancer/testing/objects.ts";
import { Allocator } from "./allocator.ts";

const refusal = (status: number, reason: string) =>
  new KubeApiError({ status, reason, message: "" }, { operation: "patch", object: "services" });

class Rig {
  /** What the API has; what the watch shows is behind it until {@link show}. */
  readonly api = new Map<string, BalancedService>();
  readonly shown = new Map<string, BalancedService>();
  readonly pools = new Map<string, AddressPool>([["p", aPool("p", ["192.0.2.1-192.0.2.2"])]]);
  readonly events: string[] = [];
  readonly writes: string[] = [];
  readonly clock = new ManualClock(0.5);
  /** Errors that the next writes meet. */
  readonly faults: Error[] = [];
  readonly allocator: Allocator;
  #version = 1;

  constructor() {
    this.allocator = new Allocator({
      client: { patch: (address, patch) => this.#patch(address, patch as JsonObject) },
      source: { services: () => this.shown, pools: () => this.pools, namespaces: () => new Map() },
      events: {
        record: ({ name }, type, reason, message) => this.events.push(`${name} ${type} ${reason}: ${message}`),
      },
      clock: this.clock,
      log: { info: () => undefined, warn: () => undefined },
    });
  }

  put(service: BalancedService): void {
    this.api.set(`default/${service.name}`, { ...service, resourceVersion: String(++this.#version) });
    this.show();
  }

  remove(name: string): void {
    this.api.delete(`default/${name}`);
    this.show();
  }

  /** The watch catches up. */
  show(): void {
    this.shown.clear();
    for (const [key, service] of this.api) this.shown.set(key, service);
  }

  async round(): Promise<void> {
    this.allocator.request();
    await this.allocator.settled();
    await setImmediate();
  }

  held(): Record<string, readonly string[]> {
    return Object.fromEntries(Array.from(this.api.values(), ({ name, held }) => [name, held]));
  }

  async #patch({ name, namespace, subresource }: ObjectAddress, patch: JsonObject): Promise<JsonObject> {
    assert.deepEqual([namespace, subresource], ["default", "status"]);
    await setImmediate();
    const fault = this.faults.shift();
    if (fault !== undefined) throw fault;
    const object = this.api.get(`default/${name}`);
    if (object === undefined) throw refusal(404, "NotFound");
    const { resourceVersion, uid } = asObject(patch["metadata"]) ?? {};
    if (resourceVersion !== object.resourceVersion || uid !== object.uid) throw refusal(409, "Conflict");
    const ingress = asObject(asObject(patch["status"])?.["loadBalancer"])?.["ingress"] as { ip: string }[] | null;
    const held = (ingress ?? []).map(({ ip }) => ip);
    this.writes.push(`${name} ${held.join(",")}`);
    this.api.set(`default/${name}`, { ...object, held, resourceVersion: String(++this.#version) });
    return {};
  }
}

test("Allocator writes addresses into the status, says so, and then nothing more", async () => {
  const rig = new Rig();
  rig.put(aBalanced("a"));
  await rig.round();
  assert.deepEqual([rig.held(), rig.events], [{ a: ["192.0.2.1"] }, ["a Normal IPAllocated: it has 192.0.2.1"]]);
  rig.show();
  await rig.round();
  await rig.round();
  assert.equal(rig.writes.length, 1);
});

test("Allocator gives no address twice while the watch is behind", async () => {
  const rig = new Rig();
  rig.put(aBalanced("b"));
  await rig.round();
  // An older one comes; of the first address the watch knows nothing yet.
  const first = rig.api.get("default/b");
  assert.ok(first);
  rig.put(aBalanced("a", { createdAt: "2025-01-01T00:00:00Z" }));
  rig.shown.set("default/b", { ...first, held: [], resourceVersion: "2" });
  await rig.round();
  assert.deepEqual(rig.held(), { b: ["192.0.2.1"], a: ["192.0.2.2"] });
  rig.show();
  await rig.round();
  assert.deepEqual(rig.held(), { b: ["192.0.2.1"], a: ["192.0.2.2"] });
});

test("Allocator gives a deleted Service's address to whoever waits for one", async () => {
  const rig = new Rig();
  for (const name of ["a", "b", "c"]) rig.put(aBalanced(name));
  await rig.round();
  const full = "c Warning AllocationFailed: no IPv4 address: LoadBalancerPool p has no free one";
  assert.ok(rig.events.includes(full), rig.events.join("\n"));
  rig.show();
  await rig.round();
  assert.equal(rig.events.filter((event) => event === full).length, 1, "it is said once");
  rig.remove("a");
  await rig.round();
  assert.deepEqual(rig.held(), { b: ["192.0.2.2"], c: ["192.0.2.1"] });
});

test("Allocator writes an address where it goes behind where it is given back", async () => {
  const rig = new Rig();
  rig.put(aBalanced("a", { held: ["192.0.2.1"], wantedIps: ["192.0.2.2"] }));
  // Older, and so its turn comes first.
  rig.put(aBalanced("z", { wantedIps: ["192.0.2.1"], createdAt: "2025-01-01T00:00:00Z" }));
  await rig.round();
  assert.deepEqual(rig.writes, ["a 192.0.2.2", "z 192.0.2.1"]);
});

test("Allocator tries again what was refused for another version, and what failed", async () => {
  for (const fault of [refusal(409, "Conflict"), refusal(500, "InternalError"), new Error("reset")]) {
    const rig = new Rig();
    rig.put(aBalanced("a"));
    rig.faults.push(fault);
    await rig.round();
    assert.deepEqual(rig.held(), { a: [] });
    rig.clock.advance(60_000);
    await rig.allocator.settled();
    assert.deepEqual(rig.held(), { a: ["192.0.2.1"] });
  }
});

test("Allocator decides nothing over what somebody changed meanwhile", async () => {
  const rig = new Rig();
  rig.put(aBalanced("a"));
  const shown = rig.shown.get("default/a");
  assert.ok(shown);
  rig.put(aBalanced("a", { wantedIps: ["192.0.2.2"] }));
  rig.shown.set("default/a", shown);
  await rig.round();
  assert.deepEqual(rig.held(), { a: [] });
  rig.show();
  rig.clock.advance(60_000);
  await rig.allocator.settled();
  assert.deepEqual(rig.held(), { a: ["192.0.2.2"] });
});

test("Allocator takes a Service that is gone for done", async () => {
  const rig = new Rig();
  rig.put(aBalanced("a"));
  rig.api.clear();
  await rig.round();
  assert.deepEqual([rig.clock.delays(), rig.writes], [[], []]);
});

test("Allocator writes nothing once it is stopped", async () => {
  const rig = new Rig();
  for (let i = 0; i < 20; i++) rig.put(aBalanced(`s${i}`));
  rig.pools.set("p", aPool("p", ["10.0.0.0-10.0.0.255"]));
  rig.allocator.request();
  rig.allocator[Symbol.dispose]();
  await rig.allocator.settled();
  // Those that were on their way.
  assert.ok(rig.writes.length <= 8, `${rig.writes.length}`);
  rig.allocator.request();
  await rig.allocator.settled();
  assert.ok(rig.writes.length <= 8, `${rig.writes.length}`);
});

test("Allocator takes away what a Service is not to have any more", async () => {
  const rig = new Rig();
  rig.put(aBalanced("a", { families: [6], held: ["192.0.2.1"] }));
  await rig.round();
  assert.deepEqual(rig.held(), { a: [] });
  assert.ok(rig.events.includes("a Normal IPReleased: it has no address any more"));
});
