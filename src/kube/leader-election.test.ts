/** Who leads, against a Lease in memory that refuses what an API server refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { KubeApiError } from "./api-error.ts";
import type { JsonObject } from "./json.ts";
import { asObject } from "./json.ts";
import { LeaderElection } from "./leader-election.ts";
import { ManualClock } from "./testing/manual-clock.ts";

const refusal = (status: number, reason: string) =>
  new KubeApiError({ status, reason, message: "" }, { operation: "write", object: "lease" });

/** A Lease in an API server. */
class LeaseApi {
  lease: JsonObject | undefined;
  /** What happens to calls from now on. */
  fault: "" | "down" | "hang" = "";
  writes = 0;
  #version = 0;

  get = async () => {
    await this.#misbehave();
    if (this.lease === undefined) throw refusal(404, "NotFound");
    return structuredClone(this.lease);
  };

  create = async (_resource: unknown, _namespace: unknown, object: JsonObject) => {
    await this.#misbehave();
    if (this.lease !== undefined) throw refusal(409, "AlreadyExists");
    return this.#store(object);
  };

  update = async (_address: unknown, object: JsonObject) => {
    await this.#misbehave();
    const version = (from: JsonObject | undefined) => asObject(from?.["metadata"])?.["resourceVersion"];
    if (version(object) !== version(this.lease)) throw refusal(409, "Conflict");
    return this.#store(object);
  };

  spec(): JsonObject {
    return asObject(this.lease?.["spec"]) ?? {};
  }

  #store(object: JsonObject): JsonObject {
    this.writes++;
    const metadata = { ...asObject(object["metadata"]), resourceVersion: String(++this.#version) };
    this.lease = structuredClone({ ...object, metadata });
    return this.lease;
  }

  async #misbehave(): Promise<void> {
    if (this.fault === "down") throw new Error("connection refused");
    if (this.fault === "hang") await new Promise(() => undefined);
  }
}

class Candidate {
  readonly log: string[] = [];
  readonly errors: string[] = [];
  readonly election: LeaderElection;
  /** Nothing that it says is heard any more. */
  isDead = false;

  constructor(api: LeaseApi, clock: ManualClock, identity: string, log: string[] = []) {
    this.log = log;
    this.election = new LeaderElection({
      client: {
        get: () => this.#reach(api.get),
        create: (resource, namespace, object) => this.#reach(() => api.create(resource, namespace, object)),
        update: (address, object) => this.#reach(() => api.update(address, object)),
      },
      namespace: "kube-system",
      name: "l",
      identity,
      onStarted: () => this.log.push(`${identity} leads`),
      onStopped: () => this.log.push(`${identity} stops`),
      onError: (why) => this.errors.push(why),
      clock,
      wallClock: () => Date.UTC(2026, 0, 1) + clock.now(),
    });
    this.election.start();
  }

  #reach<T>(call: () => Promise<T>): Promise<T> {
    return this.isDead ? new Promise(() => undefined) : call();
  }
}

const settle = async () => {
  for (let i = 0; i < 20; i++) await setImmediate();
};

/** Time goes by in steps of a second, and everybody has their say in each. */
async function pass(clock: ManualClock, seconds: number): Promise<void> {
  await settle();
  for (let i = 0; i < seconds; i++) {
    clock.advance(1000);
    await settle();
  }
}

test("LeaderElection makes the Lease, and renews it every other second", async () => {
  const [api, clock] = [new LeaseApi(), new ManualClock(0)];
  const a = new Candidate(api, clock, "a");
  await pass(clock, 0);
  assert.deepEqual(a.log, ["a leads"]);
  assert.deepEqual(api.spec(), {
    holderIdentity: "a",
    leaseDurationSeconds: 15,
    acquireTime: "2026-01-01T00:00:00.000000Z",
    renewTime: "2026-01-01T00:00:00.000000Z",
    leaseTransitions: 0,
  });
  await pass(clock, 4);
  assert.equal(api.writes, 3);
  assert.deepEqual(
    [api.spec()["acquireTime"], api.spec()["renewTime"]],
    ["2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:04.000000Z"],
  );
  assert.deepEqual([a.log, a.errors], [["a leads"], []]);
});

test("LeaderElection lets one of many lead, and another when its Lease ran out", async () => {
  const [api, clock] = [new LeaseApi(), new ManualClock(0)];
  const log: string[] = [];
  const [a, b, c] = ["a", "b", "c"].map((name) => new Candidate(api, clock, name, log));
  await pass(clock, 40);
  assert.deepEqual(log, ["a leads"]);
  assert.ok(a !== undefined);
  a.isDead = true;
  await pass(clock, 12);
  assert.deepEqual(log, ["a leads", "a stops"]);
  await pass(clock, 20);
  assert.equal(log.length, 3);
  assert.match(log[2] ?? "", /^[bc] leads$/);
  assert.equal(api.spec()["leaseTransitions"], 1);
  assert.deepEqual([b?.errors, c?.errors], [[], []]);
});

test("LeaderElection stops leading when it could not renew, before anybody else may begin", async () => {
  const [api, clock] = [new LeaseApi(), new ManualClock(0)];
  const a = new Candidate(api, clock, "a");
  await pass(clock, 2);
  api.fault = "down";
  await pass(clock, 9);
  assert.deepEqual([a.log, a.election.isLeader], [["a leads"], true]);
  await pass(clock, 1);
  assert.deepEqual([a.log, a.election.isLeader], [["a leads", "a stops"], false]);
  assert.match(a.errors[0] ?? "", /connection refused/);
  api.fault = "";
  await pass(clock, 12);
  assert.deepEqual(a.log, ["a leads", "a stops", "a leads"]);
});

test("LeaderElection stops leading although a renewal hangs", async () => {
  const [api, clock] = [new LeaseApi(), new ManualClock(0)];
  const a = new Candidate(api, clock, "a");
  await pass(clock, 1);
  api.fault = "hang";
  await pass(clock, 9);
  assert.deepEqual(a.log, ["a leads", "a stops"]);
});

test("LeaderElection waits a whole lease from when it saw it last, whatever its times say", async () => {
  const [api, clock] = [new LeaseApi(), new ManualClock(0)];
  const long = { holderIdentity: "z", leaseDurationSeconds: 30, renewTime: "1999-01-01T00:00:00.000000Z" };
  await api.create(undefined, undefined, { metadata: {}, spec: { ...long, leaseTransitions: 7 } });
  const a = new Candidate(api, clock, "a");
  await pass(clock, 29);
  assert.deepEqual(a.log, []);
  await pass(clock, 11);
  assert.deepEqual([a.log, api.spec()["leaseTransitions"]], [["a leads"], 8]);
});

test("LeaderElection goes on at once under its own name, and after a Lease that was given back", async () => {
  const [api, clock] = [new LeaseApi(), new ManualClock(0)];
  const log: string[] = [];
  const a = new Candidate(api, clock, "a", log);
  await pass(clock, 1);
  await a.election.stop();
  assert.deepEqual([api.spec()["holderIdentity"], api.spec()["leaseDurationSeconds"]], ["", 1]);
  new Candidate(api, clock, "b", log);
  await pass(clock, 0);
  assert.deepEqual(log, ["a leads", "a stops", "b leads"]);
  // The process of b died, and came back.
  new Candidate(api, clock, "b", log);
  await pass(clock, 0);
  assert.deepEqual(log.slice(3), ["b leads"]);
  assert.equal(api.spec()["leaseTransitions"], 1);
});

test("LeaderElection stops at once when the Lease is another's", async () => {
  const [api, clock] = [new LeaseApi(), new ManualClock(0)];
  const a = new Candidate(api, clock, "a");
  await pass(clock, 0);
  const spec = { ...api.spec(), holderIdentity: "b", renewTime: "2026-01-01T00:00:01.000000Z" };
  await api.update(undefined, { ...api.lease, spec });
  await pass(clock, 2);
  assert.deepEqual([a.log, a.errors], [["a leads", "a stops"], []]);
});
