import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { KubeClient } from "./client.ts";
import { EventRecorder } from "./events.ts";
import { ManualClock } from "./testing/manual-clock.ts";
import { ScriptedApi } from "./testing/scripted-api.ts";
import { until } from "./testing/until.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const node = { apiVersion: "v1", kind: "Node", name: "node1", uid: "node1" };
const pod = { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "web", uid: "u1" };

async function rig() {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  const client = new KubeClient(api.connection());
  cleanups.push(() => client.close());
  const clock = new ManualClock();
  const dropped: string[] = [];
  const recorder = new EventRecorder({
    client,
    component: "breakwater-agent",
    host: "node1",
    clock,
    wallClock: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678) + clock.now(),
    onDropped: (reason, subject, why) => dropped.push(`${reason} ${subject.name}: ${why}`),
  });
  cleanups.push(() => recorder.stop());
  const writes = () => api.requests.map(({ method, path, body }) => ({ method, path, body: JSON.parse(body) }));
  return { api, clock, dropped, recorder, writes };
}

test("EventRecorder writes a core/v1 Event on the object, a node's in namespace default", async () => {
  const { recorder, writes } = await rig();
  recorder.record(node, "Warning", "MtuTooLarge", "eth0 carries 1450");
  await recorder.flushed();
  const [write] = writes();
  assert.equal(`${write?.method} ${write?.path}`, "POST /api/v1/namespaces/default/events");
  assert.match(write?.body.metadata.name, /^node1\.[0-9a-f]+$/);
  delete write?.body.metadata.name;
  assert.deepEqual(write?.body, {
    apiVersion: "v1",
    kind: "Event",
    metadata: { namespace: "default" },
    involvedObject: node,
    type: "Warning",
    reason: "MtuTooLarge",
    message: "eth0 carries 1450",
    source: { component: "breakwater-agent", host: "node1" },
    reportingComponent: "breakwater-agent",
    reportingInstance: "node1",
    firstTimestamp: "2026-01-02T03:04:05Z",
    lastTimestamp: "2026-01-02T03:04:05Z",
    count: 1,
  });
});

test("EventRecorder counts a repeat on the same Event", async () => {
  const { recorder, clock, writes } = await rig();
  recorder.record(pod, "Normal", "Attached", "10.244.1.5");
  await recorder.flushed();
  clock.advance(60_000);
  recorder.record(pod, "Normal", "Attached", "10.244.1.5");
  recorder.record(pod, "Normal", "Attached", "10.244.1.5");
  await recorder.flushed();
  const [created, ...patches] = writes();
  const path = `/api/v1/namespaces/shop/events/${created?.body.metadata.name}`;
  assert.ok(patches.length >= 1);
  assert.deepEqual(patches.at(-1), {
    method: "PATCH",
    path,
    body: { count: 3, lastTimestamp: "2026-01-02T03:05:05Z" },
  });
});

test("EventRecorder makes another Event for another message, and anew for one that expired", async () => {
  const { api, recorder, writes } = await rig();
  recorder.record(pod, "Normal", "Attached", "one");
  recorder.record(pod, "Normal", "Attached", "two");
  await recorder.flushed();
  assert.notEqual(writes()[0]?.body.metadata.name, writes()[1]?.body.metadata.name);
  api.fail("write", { status: 404, reason: "NotFound" });
  recorder.record(pod, "Normal", "Attached", "two");
  await recorder.flushed();
  assert.deepEqual(
    writes().map(({ method }) => method),
    ["POST", "POST", "PATCH", "POST"],
  );
  assert.equal(writes().at(-1)?.body.count, 2);
});

test("EventRecorder keeps events while the API is away and writes them when it is back", async () => {
  const { api, clock, dropped, recorder } = await rig();
  api.fail("write", { status: 503 });
  api.fail("write", "reset");
  recorder.record(node, "Warning", "Drift", "route gone");
  for (let tries = 1; tries <= 2; tries++) {
    await until(`try ${tries} failed`, () => api.requests.length === tries && clock.delays().length === 1);
    clock.advance(30_000);
  }
  await recorder.flushed();
  assert.equal(api.requests.length, 3);
  assert.deepEqual(dropped, []);
});

test("EventRecorder drops what the server refuses for good, and says so", async () => {
  const { api, dropped, recorder } = await rig();
  api.fail("write", { status: 403, reason: "Forbidden" });
  recorder.record(pod, "Normal", "Attached", "x");
  await recorder.flushed();
  assert.equal(dropped.length, 1);
  assert.match(dropped[0] ?? "", /^Attached web: Cannot create events shop\/web\.[0-9a-f]+: .*403 Forbidden/);
});

test("EventRecorder takes a lost answer for a success: the Event is there", async () => {
  const { api, dropped, recorder } = await rig();
  api.fail("write", { status: 409, reason: "AlreadyExists" });
  recorder.record(pod, "Normal", "Attached", "x");
  await recorder.flushed();
  assert.deepEqual(dropped, []);
});

test("EventRecorder lets an object cause 25 events at once and one more in five minutes", async () => {
  const { api, clock, dropped, recorder } = await rig();
  for (let i = 0; i < 30; i++) recorder.record(node, "Warning", "Storm", `message ${i}`);
  recorder.record(pod, "Normal", "Attached", "another object has its own budget");
  await recorder.flushed();
  assert.equal(api.requests.length, 26);
  assert.deepEqual(new Set(dropped), new Set(["Storm node1: too many events about this object"]));
  clock.advance(300_000);
  recorder.record(node, "Warning", "Storm", "one more");
  recorder.record(node, "Warning", "Storm", "and another");
  await recorder.flushed();
  assert.equal(api.requests.length, 27);
});

test("EventRecorder bounds what waits, dropping the oldest", async () => {
  const { api, dropped, recorder } = await rig();
  api.fail("write", "hang");
  for (let i = 0; i < 105; i++) recorder.record({ ...pod, name: `p${i}`, uid: `u${i}` }, "Normal", "Attached", "x");
  // The first is under way, 100 wait.
  assert.equal(dropped.length, 4);
  assert.equal(dropped[0], "Attached p1: more than 100 events wait for the API");
});

test("EventRecorder.record() after stop() does nothing", async () => {
  const { api, recorder } = await rig();
  await recorder.stop();
  recorder.record(node, "Normal", "Late", "x");
  await recorder.flushed();
  assert.equal(api.requests.length, 0);
});

test("EventRecorder makes one Event of what all nodes say of an object, whoever is first", async () => {
  const [one, two] = [await rig(), await rig()];
  const say = (message: string, uid = "u1") => {
    for (const { recorder } of [one, two]) recorder.record({ ...pod, uid }, "Warning", "NotUnderstood", message, true);
  };
  two.api.fail("write", { status: 409, reason: "AlreadyExists" });
  say("spec.a");
  await Promise.all([one.recorder.flushed(), two.recorder.flushed()]);
  say("spec.b");
  say("spec.a", "u2");
  await Promise.all([one.recorder.flushed(), two.recorder.flushed()]);
  const names = ({ writes }: typeof one) => writes().map(({ method, body }) => `${method} ${body.metadata.name}`);
  assert.deepEqual(names(one), names(two));
  assert.equal(new Set(names(one)).size, 3, "another message and another object are another Event");
  for (const name of names(one)) assert.match(name, /^POST web\.[0-9a-f]{16}$/);
  assert.deepEqual(two.dropped, []);
});
