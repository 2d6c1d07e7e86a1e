/** Collections that a server need not know: those of a CustomResourceDefinition. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { clusterNetworkPolicies } from "./resource.ts";
import { cleanUp, endPause, node, rig } from "./testing/reflector-rig.ts";
import { until } from "./testing/until.ts";

afterEach(cleanUp);

const NONE = { status: 404, reason: "NotFound" } as const;
const policies = { resource: clusterNetworkPolicies, isOptional: true };

test("Reflector takes an optional collection that the server does not know for an empty one, and looks for it again", async () => {
  const it = await rig(policies, (api) => api.fail("list", NONE, 2));
  await it.reflector.synced;
  assert.deepEqual([it.errors, it.reflector.items().size, it.api.count("watch")], [[], 0, 0]);
  await until("it waits", () => it.clock.delays().includes(30_000));
  it.clock.advance(30_000);
  await until("it has looked again", () => it.api.count("list") === 2);
  await until("it waits again", () => it.clock.delays().includes(30_000));
  it.api.put("clusternetworkpolicies", node("p"));
  it.clock.advance(30_000);
  await it.caughtUp();
  assert.deepEqual([it.changes, it.errors], [["add p red"], []]);
});

test("Reflector reports that the server does not know a collection that has to be there", async () => {
  const it = await rig({ resource: clusterNetworkPolicies }, (api) => api.fail("list", NONE));
  await until("it is reported", () => it.errors.length === 1);
  assert.deepEqual([it.errors, it.reflector.state().synced], [["BW_KUBE_NOT_FOUND"], false]);
});

test("Reflector looks as seldom for an optional collection that it may not read, and reports each refusal", async () => {
  const it = await rig(policies, (api) => api.fail("list", { status: 403, reason: "Forbidden" }));
  await until("it is reported", () => it.errors.length === 1);
  assert.deepEqual([it.errors, it.reflector.state().synced], [["BW_KUBE_FORBIDDEN"], false]);
  await until("it waits", () => it.clock.delays().includes(30_000));
  it.clock.advance(30_000);
  await it.caughtUp();
  assert.equal(it.reflector.state().synced, true);
});

test("Reflector keeps what it knows of an optional collection until it has been gone for a while", async () => {
  const it = await rig(policies, (api) => api.put("clusternetworkpolicies", node("p")));
  await it.caughtUp();
  it.api.fail("probe", NONE, 9);
  it.api.fail("list", NONE, 9);
  it.api.dropConnections();
  await endPause(it, 1);
  await endPause(it, 2);
  await until("the list failed, too", () => it.errors.filter((code) => code === "BW_KUBE_NOT_FOUND").length >= 2);
  assert.deepEqual(it.colors(), { p: "red" }, "a server that starts may not know it yet");
  await endPause(it, 3);
  await until("it is gone", () => it.changes.length === 2);
  assert.deepEqual(it.changes, ["add p red", "delete p red"]);
  it.api.clearFaults();
  await until("it waits", () => it.clock.delays().includes(30_000));
  it.clock.advance(30_000);
  await it.caughtUp();
  assert.deepEqual(it.colors(), { p: "red" });
});

test("Reflector.stop() ends the wait for an optional collection", async () => {
  const it = await rig(policies, (api) => api.fail("list", NONE));
  await it.reflector.synced;
  await until("it waits", () => it.clock.delays().includes(30_000));
  await it.reflector.stop();
  assert.equal(it.clock.delays().length, 0);
});
