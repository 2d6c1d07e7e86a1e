import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { KubeClient } from "./client.ts";
import { Reflector } from "./reflector.ts";
import { nodes } from "./resource.ts";
import { ManualClock } from "./testing/manual-clock.ts";
import { cleanUp, cleanups, endPause, type Kept, node, parseKept, rig } from "./testing/reflector-rig.ts";
import { ScriptedApi } from "./testing/scripted-api.ts";
import { until } from "./testing/until.ts";

afterEach(cleanUp);

test("Reflector resumes after a dropped connection from its version and lists nothing anew", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.api.dropConnections();
  it.api.put("nodes", node("n2"));
  it.api.remove("nodes", "n1");
  await endPause(it, 1);
  await it.caughtUp();
  assert.deepEqual(it.changes, ["add n1 red", "add n2 red", "delete n1 red"]);
  assert.equal(it.api.count("list"), 1);
  assert.equal(it.reflector.state().relists, 0);
});

test("Reflector forgets half a line when the connection drops inside it", async () => {
  const it = await rig();
  await it.caughtUp();
  const event = JSON.stringify({ type: "ADDED", object: { metadata: { name: "ghost", resourceVersion: "9001" } } });
  it.api.sendRaw(event.slice(0, -10));
  await until("the bytes went out", () => it.reflector.state().connected);
  it.api.endWatches();
  await endPause(it, 1);
  it.api.put("nodes", node("n1"));
  await it.caughtUp();
  assert.deepEqual(it.changes, ["add n1 red"]);
  assert.deepEqual(it.errors, ["BW_KUBE_CONNECTION"]);
});

for (const goneAs of ["http", "event"] as const) {
  test(`Reflector lists consistently after 410 Gone by ${goneAs}, and loses no delete`, async () => {
    const it = await rig({}, (api) => {
      api.put("nodes", node("n1"));
      api.put("nodes", node("n2"));
      api.put("nodes", node("n3"));
    });
    await it.caughtUp();
    it.api.goneAs = goneAs;
    it.api.dropConnections();
    it.api.remove("nodes", "n1");
    it.api.put("nodes", node("n2", "blue"));
    it.api.put("nodes", node("n4"));
    it.api.compact();
    await endPause(it, 1);
    await endPause(it, 2);
    await it.caughtUp();
    assert.deepEqual(it.changes.slice(3), ["update n2 blue", "add n4 red", "delete n1 red"]);
    const relist = it.api.requests.filter((request) => request.kind === "list").at(-1);
    assert.equal(relist?.query.get("resourceVersion"), null, "a cache could lie before what we know");
    assert.equal(it.reflector.state().relists, 1);
  });
}

test("Reflector lists at once after a first 410 and backs off from a storm of them", async () => {
  const it = await rig();
  await it.caughtUp();
  it.api.goneAs = "event";
  const gone = { type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", message: "too old" } };
  it.api.sendRaw(`${JSON.stringify(gone)}\n`);
  await until("it listed again", () => it.api.count("list") === 2);
  it.api.fail("watch", { status: 410, reason: "Expired" }, 3);
  it.api.endWatches();
  for (let failure = 2; failure <= 4; failure++) await endPause(it, failure);
  await it.caughtUp();
  assert.equal(it.waits[0], 0);
  assert.deepEqual(it.waits.slice(1, 4), [500, 1000, 2000], "half of 1, 2 and 4 s by the dice");
});

test("Reflector backs off exponentially from a 5xx storm to the cap, and the last state stands", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.api.fail("probe", { status: 503 }, 8);
  it.api.dropConnections();
  for (let failure = 1; failure <= 9; failure++) {
    await endPause(it, failure);
    assert.deepEqual(it.colors(), { n1: "red" });
  }
  await it.caughtUp();
  assert.deepEqual(it.waits, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  assert.deepEqual(it.changes, ["add n1 red"]);
});

test("Reflector waits as long as the server asks, never beyond the cap", async () => {
  const it = await rig();
  await it.caughtUp();
  it.api.fail("watch", { status: 429, headers: { "retry-after": "7" } });
  it.api.fail("watch", { status: 429, headers: { "retry-after": "86400" } });
  it.api.endWatches();
  await endPause(it, 1);
  await endPause(it, 2);
  await it.caughtUp();
  assert.deepEqual(it.waits, [7000, 30_000]);
});

test("Reflector counts failures anew after a healthy watch", async () => {
  const it = await rig();
  for (let failure = 1; failure <= 3; failure++) {
    await it.caughtUp();
    it.clock.advance(10_000);
    it.api.dropConnections();
    await endPause(it, failure);
  }
  assert.deepEqual(it.waits, [250, 250, 250]);
});

test("Reflector does not race against a server that ends every watch at once", async () => {
  const it = await rig();
  await it.caughtUp();
  it.api.endWatches();
  await until("it watches again", () => it.reflector.state().watches === 2);
  assert.deepEqual(it.errors, [], "the first watch had something to say");
  it.api.endWatches();
  await until("the failure is reported", () => it.errors.length === 1);
  assert.deepEqual(it.errors, ["BW_KUBE_CONNECTION"]);
  assert.equal(it.api.count("watch"), 2);
});

test("Reflector takes duplicates and a delete of what it never saw", async () => {
  const it = await rig();
  await it.caughtUp();
  const added = `${JSON.stringify({ type: "ADDED", object: { metadata: { name: "n1", resourceVersion: "9001" }, color: "red" } })}\n`;
  const unknown = `${JSON.stringify({ type: "DELETED", object: { metadata: { name: "nx", resourceVersion: "9002" } } })}\n`;
  it.api.sendRaw(added + added + unknown);
  await until("all are read", () => it.reflector.state().lastResourceVersion === "9002");
  assert.deepEqual(it.changes, ["add n1 red"]);
});

test("Reflector reads events from bytes cut anywhere, inside a character too", async () => {
  const it = await rig();
  await it.caughtUp();
  const line = `${JSON.stringify({ type: "ADDED", object: { metadata: { name: "n1", resourceVersion: "9001" }, color: "日本🐳" } })}\n`;
  for (const byte of Buffer.from(line)) it.api.sendRaw(Buffer.of(byte));
  await until("it is read", () => it.reflector.items().size === 1);
  assert.deepEqual(it.colors(), { n1: "日本🐳" });
});

for (const line of [
  "{not json\n",
  "[]\n",
  '{"type":"ADDED"}\n',
  '{"type":"RENAMED","object":{}}\n',
  '{"type":"ADDED","object":{}}\n',
]) {
  test(`Reflector lists anew after the unreadable line ${JSON.stringify(line)}`, async () => {
    const it = await rig({}, (api) => api.put("nodes", node("n1")));
    await it.caughtUp();
    it.api.sendRaw(line);
    await endPause(it, 1);
    await until("it listed again", () => it.api.count("list") === 2);
    assert.deepEqual(it.errors, ["BW_KUBE_RESPONSE"]);
    assert.deepEqual(it.colors(), { n1: "red" });
  });
}

test("Reflector reads a list page by page at one version, and writes that land between pages reach it by watch", async () => {
  const it = await rig({ pageSize: 2 }, (api) => {
    for (const name of ["a", "b", "c", "d", "e"]) api.put("nodes", node(name));
  });
  await it.caughtUp();
  assert.equal(it.api.count("list"), 3);
  assert.deepEqual(Object.keys(it.colors()), ["a", "b", "c", "d", "e"]);
  const second = it.api.requests[1];
  assert.notEqual(second?.query.get("continue"), null);
  assert.equal(second?.query.get("resourceVersion"), null, "the token says the version; both are refused");
});

test("Reflector asks for the whole list when a continue token expires half-way", async () => {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  for (const name of ["a", "b", "c"]) api.put("nodes", node(name));
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  let pages = 0;
  const compacting: Pick<KubeClient, "listPage" | "watch"> = {
    watch: (...args) => client.watch(...args),
    listPage: async (...args) => {
      const page = await client.listPage(...args);
      if (++pages === 1) api.compact();
      return page;
    },
  };
  const reflector = new Reflector<Kept>({
    client: compacting,
    resource: nodes,
    parse: parseKept,
    unparsable: "absent",
    pageSize: 2,
    clock: new ManualClock(),
  });
  const batches: number[] = [];
  reflector.onChange((changes) => batches.push(changes.length));
  reflector.start();
  cleanups.push(() => reflector.stop());
  await reflector.synced;
  assert.deepEqual(batches, [3], "one batch, nothing of the broken list");
  assert.deepEqual(
    api.requests.filter((request) => request.kind === "list").map((request) => request.query.get("limit")),
    ["2", "2", null],
  );
});

for (const fault of ["reset", "cut", "garbage", { status: 500 }, { status: 403 }] as const) {
  test(`Reflector syncs only by a complete list: ${JSON.stringify(fault)} first`, async () => {
    const it = await rig({}, (api) => {
      api.put("nodes", node("n1"));
      api.fail("list", fault);
    });
    await until("the failure is reported", () => it.errors.length === 1);
    assert.equal(it.reflector.state().synced, false);
    assert.deepEqual(it.changes, []);
    await endPause(it, 1);
    await it.reflector.synced;
    assert.deepEqual(it.changes, ["add n1 red"]);
  });
}

test("Reflector keeps everything when the list after a 410 fails half-way", async () => {
  const it = await rig({}, (api) => {
    api.put("nodes", node("n1"));
    api.put("nodes", node("n2"));
  });
  await it.caughtUp();
  it.api.fail("list", "cut");
  await it.api.restart(9000);
  for (let failure = 1; failure <= 3; failure++) {
    await endPause(it, failure);
    assert.deepEqual(it.colors(), { n1: "red", n2: "red" });
  }
  await it.caughtUp();
  assert.deepEqual(it.changes, ["add n1 red", "add n2 red"]);
});
