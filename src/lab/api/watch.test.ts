import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { at } from "./object/object.ts";
import { configMap, startServer, type TestServer } from "./test-server.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";

const summary = (events: readonly { type: string; object: unknown }[]) =>
  events.map(({ type, object }) => `${type} ${at(object, "metadata", "name") ?? ""}`.trim());

function put(server: TestServer, name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}) {
  const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default", labels }, data };
  const old = server.store.get("configmaps", "default", name);
  return old === undefined
    ? server.store.create(object)
    : server.store.modify("configmaps", "default", name, (draft) =>
        Object.assign(draft, { data, metadata: { ...draft.metadata, labels } }),
      );
}

test("watch: changes after the given version, one frame a line, in order", async (context) => {
  const server = await startServer(context);
  put(server, "before");
  const watch = await server.watch(`${MAPS}?watch=1&resourceVersion=${server.store.resourceVersion}`);
  put(server, "a");
  put(server, "a", { x: "1" });
  server.store.delete("configmaps", "default", "a");
  const events = await watch.until(({ type }) => type === "DELETED");
  assert.deepEqual(summary(events), ["ADDED a", "MODIFIED a", "DELETED a"]);
  const versions = events.map(({ object }) => Number(at(object, "metadata", "resourceVersion")));
  assert.deepEqual(
    [...versions].sort((x, y) => x - y),
    versions,
  );
  watch.close();
});

test("watch: without a version the present state comes first", async (context) => {
  const server = await startServer(context);
  put(server, "a");
  for (const version of ["", "&resourceVersion=0"]) {
    const watch = await server.watch(`${MAPS}?watch=true${version}`);
    assert.equal(summary([(await watch.next()) ?? { type: "", object: {} }])[0], "ADDED a");
    watch.close();
  }
});

test("watch: objects enter and leave a selector as ADDED and DELETED", async (context) => {
  const server = await startServer(context);
  const watch = await server.watch(
    `${MAPS}?watch=1&labelSelector=on%3D1&resourceVersion=${server.store.resourceVersion}`,
  );
  put(server, "a");
  put(server, "a", {}, { on: "1" });
  put(server, "a", { x: "1" }, { on: "1" });
  put(server, "a", {}, {});
  put(server, "end", {}, { on: "1" });
  const events = await watch.until(({ object }) => at(object, "metadata", "name") === "end");
  assert.deepEqual(summary(events), ["ADDED a", "MODIFIED a", "DELETED a", "ADDED end"]);
  watch.close();
});

test("watch: sendInitialEvents ends the state with a marked bookmark (KEP-3157)", async (context) => {
  const server = await startServer(context);
  put(server, "a");
  put(server, "b");
  const watch = await server.watch(
    `${MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
  );
  const events = await watch.until(({ type }) => type === "BOOKMARK");
  assert.deepEqual(summary(events), ["ADDED a", "ADDED b", "BOOKMARK"]);
  const bookmark = events.at(-1)?.object;
  assert.deepEqual(at(bookmark, "metadata", "annotations"), { "k8s.io/initial-events-end": "true" });
  assert.equal(at(bookmark, "metadata", "resourceVersion"), server.store.resourceVersion);
  assert.equal(at(bookmark, "kind"), "ConfigMap");
  watch.close();
});

test("watch: timeoutSeconds ends it, with a bookmark where the client takes them", async (context) => {
  const server = await startServer(context);
  const watch = await server.watch(
    `${MAPS}?watch=1&allowWatchBookmarks=1&timeoutSeconds=1&resourceVersion=${server.store.resourceVersion}`,
  );
  put(server, "a");
  const events = await watch.until(() => false);
  assert.deepEqual(summary(events), ["ADDED a", "BOOKMARK"]);
  assert.equal(at(events[1]?.object, "metadata", "resourceVersion"), server.store.resourceVersion);
});

test("faults.expireHistory(): older versions get 410 from watch, exact list and continue", async (context) => {
  const server = await startServer(context);
  for (const name of ["a", "b", "c"]) put(server, name);
  const old = server.store.resourceVersion;
  const page = await server.request("GET", `${MAPS}?limit=2`);
  const token = String(at(page.body, "metadata", "continue"));
  put(server, "d");
  server.faults.expireHistory();
  for (const query of [
    `watch=1&resourceVersion=${old}`,
    `resourceVersion=${old}&resourceVersionMatch=Exact`,
    `limit=2&continue=${token}`,
    "watch=1&resourceVersion=1",
  ]) {
    const answer = await server.request("GET", `${MAPS}?${query}`);
    assert.deepEqual([answer.code, answer.body["reason"]], [410, "Expired"], query);
  }
  const list = await server.request("GET", MAPS);
  const watch = await server.watch(`${MAPS}?watch=1&resourceVersion=${at(list.body, "metadata", "resourceVersion")}`);
  put(server, "e");
  assert.deepEqual(summary([(await watch.next()) ?? { type: "", object: {} }]), ["ADDED e"]);
  watch.close();
});

test("faults.hangWatches(): no byte while on; afterwards nothing is lost", async (context) => {
  const server = await startServer(context);
  const watch = await server.watch(`${MAPS}?watch=1&resourceVersion=${server.store.resourceVersion}`);
  server.faults.hangWatches(true);
  put(server, "a");
  await server.request("GET", MAPS);
  assert.equal(watch.received, 0);
  const late = await server.watch(`${MAPS}?watch=1`);
  server.faults.hangWatches(false);
  assert.deepEqual(summary([(await watch.next()) ?? { type: "", object: {} }]), ["ADDED a"]);
  assert.deepEqual(summary([(await late.next()) ?? { type: "", object: {} }]), ["ADDED a"]);
  watch.close();
  late.close();
});

test("watch: one that fell behind the history gets an ERROR event with 410 and ends", async (context) => {
  const server = await startServer(context);
  const watch = await server.watch(`${MAPS}?watch=1&resourceVersion=${server.store.resourceVersion}`);
  server.faults.hangWatches(true);
  put(server, "a");
  server.faults.expireHistory();
  server.faults.hangWatches(false);
  const events = await watch.until(() => false);
  assert.equal(events.length, 1);
  assert.deepEqual(
    [events[0]?.type, at(events[0]?.object, "code"), at(events[0]?.object, "reason")],
    ["ERROR", 410, "Expired"],
  );
});

test("faults.refuseConnections() is a server that is down; afterwards it serves again", async (context) => {
  const server = await startServer(context);
  const watch = await server.watch(`${MAPS}?watch=1`);
  server.faults.refuseConnections(true);
  await assert.rejects(server.request("GET", MAPS), { code: "ECONNRESET" });
  assert.equal(await watch.next(), undefined);
  server.faults.refuseConnections(false);
  assert.equal((await server.request("GET", MAPS)).code, 200);
});

test("faults.dropConnections() cuts watches; faults.failRequests() answers everything with a status", async (context) => {
  const server = await startServer(context);
  const watch = await server.watch(`${MAPS}?watch=1`);
  server.faults.dropConnections();
  assert.equal(await watch.next(), undefined);
  server.faults.failRequests(503);
  assert.equal((await server.request("GET", MAPS)).code, 503);
  server.faults.failRequests(undefined);
  assert.equal((await server.request("GET", MAPS)).code, 200);
});

test("watch: twenty watchers all hear of a change", async (context) => {
  const server = await startServer(context);
  const path = `${MAPS}?watch=1&resourceVersion=${server.store.resourceVersion}`;
  const watches = await Promise.all(Array.from({ length: 20 }, () => server.watch(path)));
  put(server, "a");
  const events = await Promise.all(watches.map((watch) => watch.next()));
  assert.ok(events.every((event) => event?.type === "ADDED"));
  for (const watch of watches) watch.close();
});

test("watch: a client that reads nothing stalls nobody and costs bounded memory", async (context) => {
  const server = await startServer(context);
  const path = `${MAPS}?watch=1&resourceVersion=${server.store.resourceVersion}`;
  const stuck = connect(server.port, "127.0.0.1");
  context.after(() => stuck.destroy());
  await once(stuck, "connect");
  stuck.pause();
  stuck.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  const watch = await server.watch(path);
  const big = "x".repeat(500_000);
  for (let i = 0; i < 60; i++) put(server, "big", { value: big, i: String(i) });
  put(server, "end");
  const events = await watch.until(({ object }) => at(object, "metadata", "name") === "end");
  assert.equal(events.length, 61);
  watch.close();
});

test("watch: tables, as kubectl get -w asks for them", async (context) => {
  const server = await startServer(context);
  put(server, "a", { x: "1" });
  const watch = await server.watch(`${MAPS}?watch=1`, {
    accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
  });
  const event = await watch.next();
  assert.equal(at(event?.object, "kind"), "Table");
  const rows = at(event?.object, "rows") as { cells: unknown[]; object: unknown }[];
  assert.deepEqual(rows[0]?.cells.slice(0, 2), ["a", "1"]);
  assert.equal(at(rows[0]?.object, "kind"), "PartialObjectMetadata");
  watch.close();
});

test("watch: one object by its name, and the older …/watch/… path", async (context) => {
  const server = await startServer(context);
  put(server, "a");
  put(server, "b");
  const watch = await server.watch("/api/v1/watch/namespaces/default/configmaps/b");
  assert.deepEqual(summary([(await watch.next()) ?? { type: "", object: {} }]), ["ADDED b"]);
  watch.close();
});

const REFUSED: readonly (readonly [string, number])[] = [
  ["watch=1&resourceVersion=abc", 400],
  ["watch=1&resourceVersion=99999999999999", 504],
  ["watch=1&sendInitialEvents=true", 422],
  ["resourceVersionMatch=Exact", 422],
  ["resourceVersion=99999999999999", 504],
  ["limit=x", 400],
  ["continue=!!", 400],
  ["labelSelector=a%20b", 400],
  ["fieldSelector=spec.x%3D1", 400],
];

test("list and watch refuse parameters that mean nothing, with a Status", async (context) => {
  const server = await startServer(context);
  for (const [query, code] of REFUSED) {
    const answer = await server.request("GET", `${MAPS}?${query}`);
    assert.deepEqual([answer.code, answer.body["kind"]], [code, "Status"], query);
  }
});

test("list: pages show the state of the first page", async (context) => {
  const server = await startServer(context);
  for (const name of ["a", "b", "c", "d", "e"]) await server.request("POST", MAPS, { body: configMap(name) });
  const first = await server.request("GET", `${MAPS}?limit=2`);
  assert.equal(at(first.body, "metadata", "remainingItemCount"), 3);
  server.store.delete("configmaps", "default", "c");
  put(server, "bb");
  put(server, "d", { changed: "1" });
  const second = await server.request("GET", `${MAPS}?limit=2&continue=${at(first.body, "metadata", "continue")}`);
  const third = await server.request("GET", `${MAPS}?limit=2&continue=${at(second.body, "metadata", "continue")}`);
  const names = [first, second, third].map(({ body }) =>
    (body["items"] as unknown[]).map((item) => at(item, "metadata", "name")),
  );
  assert.deepEqual(names, [["a", "b"], ["c", "d"], ["e"]]);
  assert.equal(at((second.body["items"] as unknown[])[1], "data", "changed"), undefined);
  assert.equal(at(third.body, "metadata", "continue"), undefined);
});

test("list: resourceVersionMatch=Exact shows an older state", async (context) => {
  const server = await startServer(context);
  put(server, "a");
  const version = server.store.resourceVersion;
  put(server, "b");
  const answer = await server.request("GET", `${MAPS}?resourceVersion=${version}&resourceVersionMatch=Exact`);
  assert.equal((answer.body["items"] as unknown[]).length, 1);
  assert.equal(at(answer.body, "metadata", "resourceVersion"), version);
});
