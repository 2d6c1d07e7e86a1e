import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { pods } from "./resource.ts";
import { cleanUp, endPause, node, rig } from "./testing/reflector-rig.ts";
import { until } from "./testing/until.ts";

afterEach(cleanUp);

test("Reflector lists from the cache first, then watches from the list's version with bookmarks", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.reflector.synced;
  await it.caughtUp();
  const [list, watch] = it.api.requests;
  assert.equal(list?.query.get("resourceVersion"), "0");
  assert.equal(list?.query.get("limit"), "500");
  assert.equal(watch?.query.get("resourceVersion"), "1001");
  assert.equal(watch?.query.get("allowWatchBookmarks"), "true");
  assert.equal(watch?.query.get("timeoutSeconds"), "450", "300 s and half of 300 s by the dice");
  assert.deepEqual(it.changes, ["add n1 red"]);
});

test("Reflector turns events into changes and keeps the version of each", async () => {
  const it = await rig();
  await it.reflector.synced;
  it.api.put("nodes", node("n1"));
  it.api.put("nodes", node("n1", "blue"));
  it.api.put("nodes", node("n2"));
  it.api.remove("nodes", "n1");
  await it.caughtUp();
  assert.deepEqual(it.changes, ["add n1 red", "update n1 blue", "add n2 red", "delete n1 blue"]);
  assert.deepEqual(it.colors(), { n2: "red" });
});

test("Reflector tells nobody of an update that changes nothing we read, and keeps the same value", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.reflector.synced;
  const before = it.reflector.items().get("n1");
  it.api.put("nodes", { ...node("n1"), heartbeat: 2 } as ReturnType<typeof node>);
  await it.caughtUp();
  assert.equal(it.reflector.items().get("n1"), before);
  assert.deepEqual(it.changes, ["add n1 red"]);
});

test("Reflector takes a bookmark as a version and nothing else", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.api.version = 4999;
  await it.caughtUp();
  it.api.dropConnections();
  await endPause(it, 1);
  await it.caughtUp();
  assert.equal(it.api.requests.filter(({ kind }) => kind === "watch")[1]?.query.get("resourceVersion"), "5000");
  assert.deepEqual(it.changes, ["add n1 red"]);
});

for (const [unparsable, color] of [
  ["absent", undefined],
  ["last-good", "red"],
] as const) {
  test(`Reflector reports an object it cannot parse and counts it as ${unparsable}`, async () => {
    const it = await rig({ unparsable }, (api) => api.put("nodes", node("n1")));
    await it.reflector.synced;
    it.api.put("nodes", node("n1", "unparsable"));
    it.api.put("nodes", node("n2"));
    await it.caughtUp();
    assert.equal(it.colors()["n1"], color);
    assert.equal(it.colors()["n2"], "red", "the stream goes on");
    assert.deepEqual(it.problems, [{ resource: "nodes", key: "n1", field: "", why: "no such color" }]);
  });
}

test("Reflector selects by namespace, label and field, also when it watches", async () => {
  const selection = { namespace: "web", labelSelector: "app=x", fieldSelector: "spec.nodeName=node1" };
  const it = await rig({ resource: pods, selection });
  await it.caughtUp();
  for (const request of it.api.requests) {
    assert.equal(request.path, "/api/v1/namespaces/web/pods");
    assert.equal(request.query.get("labelSelector"), "app=x");
    assert.equal(request.query.get("fieldSelector"), "spec.nodeName=node1");
  }
});

test("Reflector.stop() ends the watch, rejects synced when nothing was listed, and keeps the state", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  await it.reflector.stop();
  await until("the server sees it", () => it.api.watching === 0);
  it.api.put("nodes", node("n2"));
  assert.deepEqual(it.colors(), { n1: "red" });

  const never = await rig({}, (api) => api.fail("list", "hang"));
  await until("it asked", () => never.api.count("list") === 1);
  await never.reflector.stop();
  await assert.rejects(never.reflector.synced, { code: "BW_KUBE_STOPPED" });
});

test("Reflector.state() says what metrics need", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.clock.advance(2000);
  assert.deepEqual(it.reflector.state(), {
    resource: "nodes",
    synced: true,
    connected: true,
    lastContact: 0,
    lastResourceVersion: "1002",
    objects: 1,
    relists: 0,
    watches: 1,
    errors: 0,
    failuresInRow: 0,
    lastError: undefined,
  });
  it.api.dropConnections();
  await until("the failure is reported", () => it.errors.length === 1);
  const { connected, lastError, failuresInRow } = it.reflector.state();
  assert.deepEqual({ connected, failuresInRow }, { connected: false, failuresInRow: 1 });
  assert.match(lastError ?? "", /^Cannot watch nodes: /);
});
