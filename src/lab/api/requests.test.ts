import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { at, type Fields, listOf } from "./object/object.ts";
import { configMap, pod, startServer } from "./test-server.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const PODS = "/api/v1/namespaces/default/pods";

test("create, get, update, delete: codes, versions and metadata", async (context) => {
  const server = await startServer(context, { now: () => new Date("2025-01-02T03:04:05Z") });
  const created = await server.request("POST", MAPS, { body: configMap("a", { x: "1" }) });
  assert.equal(created.code, 201);
  assert.equal(at(created.body, "metadata", "creationTimestamp"), "2025-01-02T03:04:05Z");
  assert.match(String(at(created.body, "metadata", "uid")), /^[0-9a-f-]{36}$/);
  const again = await server.request("POST", MAPS, { body: configMap("a") });
  assert.deepEqual([again.code, again.body["reason"]], [409, "AlreadyExists"]);
  const stale = structuredClone(created.body);
  const updated = await server.request("PUT", `${MAPS}/a`, { body: { ...created.body, data: { x: "2" } } });
  assert.equal(updated.code, 200);
  assert.notEqual(at(updated.body, "metadata", "resourceVersion"), at(created.body, "metadata", "resourceVersion"));
  const conflict = await server.request("PUT", `${MAPS}/a`, { body: stale });
  assert.deepEqual([conflict.code, conflict.body["reason"]], [409, "Conflict"]);
  const same = await server.request("PUT", `${MAPS}/a`, { body: updated.body });
  assert.deepEqual(same.body, updated.body, "writing what is there changes nothing");
  const gone = await server.request("DELETE", `${MAPS}/a`);
  assert.deepEqual([gone.code, gone.body["status"]], [200, "Success"]);
  assert.equal((await server.request("GET", `${MAPS}/a`)).code, 404);
});

test("create: generateName, dry run, missing namespace", async (context) => {
  const server = await startServer(context);
  const named = await server.request("POST", MAPS, { body: { metadata: { generateName: "run-" } } });
  assert.match(String(at(named.body, "metadata", "name")), /^run-[a-z0-9]{5}$/);
  const dry = await server.request("POST", `${MAPS}?dryRun=All`, { body: configMap("dry") });
  assert.equal(dry.code, 201);
  assert.equal((await server.request("GET", `${MAPS}/dry`)).code, 404);
  const lost = await server.request("POST", "/api/v1/namespaces/none/configmaps", { body: configMap("a") });
  assert.deepEqual([lost.code, lost.body["message"]], [404, 'namespaces "none" not found']);
});

const BAD: readonly {
  name: string;
  method?: string;
  path?: string;
  body?: unknown;
  type?: string;
  code: number;
  match: RegExp;
}[] = [
  { name: "broken JSON", body: "{", code: 400, match: /json parse error/ },
  { name: "no body", body: "", code: 400, match: /no body/ },
  { name: "a list for an object", body: [1], code: 400, match: /unrecognized/ },
  { name: "broken YAML", body: "a: b: c", type: "application/yaml", code: 400, match: /yaml/ },
  { name: "another media type", body: "x", type: "text/plain", code: 415, match: /unknown format/ },
  { name: "another kind", body: pod("a"), code: 400, match: /does not match/ },
  { name: "a bad name", body: configMap("A_b"), code: 422, match: /RFC 1123 subdomain/ },
  { name: "no name", body: { metadata: {} }, code: 422, match: /name or generateName is required/ },
  {
    name: "a wrong type",
    body: { metadata: { name: "a" }, data: { x: 1 } },
    code: 400,
    match: /cannot unmarshal number 1 into field data\.x of type string/,
  },
  { name: "a bad label", body: configMap("a", {}, { labels: { "a b": "c" } }), code: 422, match: /metadata\.labels/ },
  { name: "a bad key", body: configMap("a", { "a/b": "c" }), code: 422, match: /valid config key/ },
  {
    name: "an unknown field, strictly",
    path: `${MAPS}?fieldValidation=Strict`,
    body: { ...configMap("a"), foo: 1 },
    code: 400,
    match: /^strict decoding error: unknown field "foo"$/,
  },
  {
    name: "an unknown kind",
    path: "/api/v1/namespaces/default/gadgets",
    body: {},
    code: 404,
    match: /could not find the requested resource/,
  },
  { name: "an unknown group", path: "/apis/x.io/v1/gadgets", body: {}, code: 404, match: /could not find/ },
  {
    name: "a wrong namespace",
    body: configMap("a", {}, { namespace: "other" }),
    code: 400,
    match: /namespace of the provided object/,
  },
  {
    name: "a resourceVersion on create",
    body: configMap("a", {}, { resourceVersion: "5" }),
    code: 400,
    match: /should not be set/,
  },
  { name: "an unknown method", method: "OPTIONS", code: 405, match: /OPTIONS/ },
  {
    name: "an update of nothing",
    method: "PUT",
    path: `${MAPS}/x`,
    body: configMap("x"),
    code: 404,
    match: /configmaps "x" not found/,
  },
  {
    name: "another name than the path's",
    method: "PUT",
    path: `${MAPS}/kept`,
    body: configMap("x"),
    code: 400,
    match: /does not match the name on the URL/,
  },
  { name: "deep nesting", body: `${"[".repeat(5000)}${"]".repeat(5000)}`, code: 400, match: /nested/ },
  { name: "a broken path", path: "/api/v1/namespaces/%zz/configmaps", body: {}, code: 400, match: /percent-encoding/ },
];

test("bad requests get one clear Status each", async (context) => {
  const server = await startServer(context);
  await server.request("POST", MAPS, { body: configMap("kept") });
  for (const { name, method = "POST", path = MAPS, body, type, code, match } of BAD) {
    const answer = await server.request(method, path, { body, type });
    assert.equal(answer.code, code, `${name}: ${answer.text}`);
    assert.equal(answer.body["kind"], "Status", name);
    assert.match(String(answer.body["message"]), match, name);
  }
});

test("HEAD is refused with 405", async (context) => {
  const server = await startServer(context);
  assert.equal((await server.request("HEAD", MAPS)).code, 405);
});

test("a body over 3 MiB is refused with 413, and the connection still answers", async (context) => {
  const server = await startServer(context);
  const answer = await server.request("POST", MAPS, { body: configMap("a", { x: "y".repeat(4 * 1024 * 1024) }) });
  assert.deepEqual([answer.code, answer.body["reason"]], [413, "RequestEntityTooLarge"]);
  assert.equal((await server.request("GET", MAPS)).code, 200);
});

test("a client that sends half a request stalls nobody", async (context) => {
  const server = await startServer(context);
  const half = connect(server.port, "127.0.0.1");
  context.after(() => half.destroy());
  await once(half, "connect");
  half.write(`POST ${MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a":`);
  assert.equal((await server.request("POST", MAPS, { body: configMap("a") })).code, 201);
});

test("unknown fields are warned of by default and dropped", async (context) => {
  const server = await startServer(context);
  const answer = await server.request("POST", PODS, {
    body: pod("a", { spec: { containers: [{ name: "c", image: "x", imagee: "y" }] } }),
  });
  assert.equal(answer.code, 201);
  assert.equal(answer.headers["warning"], '299 - "unknown field \\"spec.containers[0].imagee\\""');
  assert.equal(at(listOf(at(answer.body, "spec", "containers"))[0], "imagee"), undefined);
  const ignored = await server.request("POST", `${PODS}?fieldValidation=Ignore`, { body: { ...pod("b"), foo: 1 } });
  assert.equal(ignored.headers["warning"], undefined);
});

test("YAML is taken and given", async (context) => {
  const server = await startServer(context);
  const body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata:\n  a: b\n";
  assert.equal((await server.request("POST", MAPS, { body, type: "application/yaml" })).code, 201);
  const answer = await server.request("GET", `${MAPS}/y`, { headers: { accept: "application/yaml" } });
  assert.match(answer.text, /^kind: ConfigMap\n/);
  assert.equal((await server.request("GET", MAPS, { headers: { accept: "text/html" } })).code, 406);
});

test("a token, where one is set, is required for all but health", async (context) => {
  const server = await startServer(context, { token: "secret" });
  assert.equal((await server.request("GET", MAPS)).code, 401);
  assert.equal((await server.request("GET", MAPS, { headers: { authorization: "Bearer wrong!" } })).code, 401);
  assert.equal((await server.request("GET", MAPS, { headers: { authorization: "Bearer secret" } })).code, 200);
  for (const path of ["/healthz", "/livez", "/readyz", "/version"])
    assert.equal((await server.request("GET", path)).code, 200, path);
});

test("PATCH: each type by its media type", async (context) => {
  const server = await startServer(context);
  await server.request("POST", MAPS, { body: configMap("a", { x: "1", y: "1" }) });
  const data = async (body: unknown, type: string) =>
    (await server.request("PATCH", `${MAPS}/a`, { body, type: `application/${type}` })).body["data"];
  assert.deepEqual(await data([{ op: "replace", path: "/data/x", value: "2" }], "json-patch+json"), { x: "2", y: "1" });
  assert.deepEqual(await data({ data: { y: null } }, "merge-patch+json"), { x: "2" });
  assert.deepEqual(await data({ data: { z: "3" } }, "strategic-merge-patch+json"), { x: "2", z: "3" });
  assert.equal((await server.request("PATCH", `${MAPS}/a`, { body: {}, type: "application/json" })).code, 415);
  const failed = await server.request("PATCH", `${MAPS}/a`, {
    body: [{ op: "remove", path: "/data/none" }],
    type: "application/json-patch+json",
  });
  assert.equal(failed.code, 422);
  const stale = { metadata: { resourceVersion: "1" }, data: { q: "1" } };
  assert.equal(
    (await server.request("PATCH", `${MAPS}/a`, { body: stale, type: "application/merge-patch+json" })).code,
    409,
  );
});

test("server-side apply: creates, merges, conflicts, is forced", async (context) => {
  const server = await startServer(context);
  const apply = (manager: string, data: Fields, force = "") =>
    server.request("PATCH", `${MAPS}/a?fieldManager=${manager}${force}`, {
      body: configMap("a", data),
      type: "application/apply-patch+yaml",
    });
  assert.equal((await apply("", {})).code, 422);
  assert.equal((await apply("one", { x: "1" })).code, 201);
  assert.deepEqual((await apply("two", { y: "1" })).body["data"], { x: "1", y: "1" });
  const conflict = await apply("two", { x: "2" });
  assert.deepEqual([conflict.code, at(listOf(at(conflict.body, "details", "causes"))[0], "field")], [409, ".data.x"]);
  assert.deepEqual((await apply("two", { x: "2" }, "&force=true")).body["data"], { x: "2" });
});

test("the status subresource changes the status only, and the object all but the status", async (context) => {
  const server = await startServer(context);
  const created = await server.request("POST", PODS, { body: { ...pod("a"), status: { phase: "Running" } } });
  assert.equal(at(created.body, "status", "phase"), "Pending");
  const body = { status: { phase: "Running" }, spec: { hostname: "x" } };
  const status = await server.request("PATCH", `${PODS}/a/status`, { body, type: "application/merge-patch+json" });
  assert.deepEqual([at(status.body, "status", "phase"), at(status.body, "spec", "hostname")], ["Running", undefined]);
  assert.equal(at(status.body, "metadata", "generation"), 1);
  const object = await server.request("PATCH", `${PODS}/a`, {
    body: { status: { phase: "Failed" } },
    type: "application/merge-patch+json",
  });
  assert.equal(at(object.body, "status", "phase"), "Running");
});

test("delete: preconditions, finalizers, dry run, collections by selector", async (context) => {
  const server = await startServer(context);
  for (const name of ["a", "b", "c"]) {
    await server.request("POST", MAPS, { body: configMap(name, {}, { labels: { odd: String(name !== "b") } }) });
  }
  const wrong = await server.request("DELETE", `${MAPS}/a`, { body: { preconditions: { uid: "x" } } });
  assert.equal(wrong.code, 409);
  await server.request("DELETE", `${MAPS}/a?dryRun=All`);
  assert.equal((await server.request("DELETE", `${MAPS}?labelSelector=odd%3Dtrue`)).code, 200);
  const left = (await server.request("GET", MAPS)).body["items"];
  assert.deepEqual(
    listOf(left).map((item) => at(item, "metadata", "name")),
    ["b"],
  );
  await server.request("PATCH", `${MAPS}/b`, {
    body: { metadata: { finalizers: ["x.io/hold"] } },
    type: "application/merge-patch+json",
  });
  const held = await server.request("DELETE", `${MAPS}/b`);
  assert.ok(at(held.body, "metadata", "deletionTimestamp"));
  const more = { metadata: { finalizers: ["x.io/hold", "x.io/more"] } };
  assert.equal(
    (await server.request("PATCH", `${MAPS}/b`, { body: more, type: "application/merge-patch+json" })).code,
    403,
  );
  await server.request("PATCH", `${MAPS}/b`, {
    body: { metadata: { finalizers: null } },
    type: "application/merge-patch+json",
  });
  assert.equal((await server.request("GET", `${MAPS}/b`)).code, 404);
});

test("events.k8s.io/v1 and core/v1 show the same Event under their own names", async (context) => {
  const server = await startServer(context);
  const regarding = { kind: "Pod", namespace: "default", name: "p" };
  const body = { metadata: { name: "e" }, regarding, note: "hello", reason: "R", type: "Normal" };
  assert.equal((await server.request("POST", "/apis/events.k8s.io/v1/namespaces/default/events", { body })).code, 201);
  const core = await server.request("GET", "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp");
  const [event] = listOf(core.body["items"]);
  assert.deepEqual(
    [at(event, "message"), at(event, "involvedObject"), at(event, "apiVersion")],
    ["hello", regarding, "v1"],
  );
  const newer = await server.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e");
  assert.deepEqual([newer.body["note"], newer.body["apiVersion"]], ["hello", "events.k8s.io/v1"]);
});

test("discovery names every resource, plain and aggregated", async (context) => {
  const server = await startServer(context);
  const groups = await server.request("GET", "/apis");
  assert.deepEqual(
    listOf(groups.body["groups"])
      .map((group) => at(group, "name"))
      .sort(),
    ["apiextensions.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "networking.k8s.io"],
  );
  const core = await server.request("GET", "/api/v1");
  const names = listOf(core.body["resources"]).map((resource) => at(resource, "name"));
  for (const name of ["pods", "pods/status", "pods/binding", "nodes", "services", "namespaces/finalize"])
    assert.ok(names.includes(name), name);
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
  const aggregated = await server.request("GET", "/apis", { headers: { accept } });
  assert.equal(aggregated.body["kind"], "APIGroupDiscoveryList");
  assert.match(String(aggregated.headers["content-type"]), /as=APIGroupDiscoveryList/);
  for (const path of ["/apis/none.io", "/apis/none.io/v1", "/api/v2", "/openapi/v4", "/nothing"]) {
    assert.equal((await server.request("GET", path)).code, 404, path);
  }
});

test("OpenAPI v3 resolves every reference, v2 comes as JSON and protobuf", async (context) => {
  const server = await startServer(context);
  const index = await server.request("GET", "/openapi/v3");
  for (const entry of Object.values(index.body["paths"] as Fields)) {
    const document = await server.request("GET", String(at(entry, "serverRelativeURL")));
    const schemas = Object.keys(at(document.body, "components", "schemas") as Fields);
    for (const [, name = ""] of document.text.matchAll(/#\/components\/schemas\/([^"]+)/g))
      assert.ok(schemas.includes(name), name);
  }
  const v2 = await server.request("GET", "/openapi/v2");
  const container = at(v2.body, "definitions", "io.k8s.api.core.v1.Container");
  assert.equal(at(container, "properties", "ports", "x-kubernetes-patch-merge-key"), "containerPort");
  const accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
  const protobuf = await server.request("GET", "/openapi/v2", { headers: { accept } });
  assert.match(String(protobuf.headers["content-type"]), /protobuf/);
  // Document { swagger = 1: "2.0" }.
  assert.ok(protobuf.text.startsWith("\n\u00032.0"));
});

test("tables have kubectl's columns and metadata, and hold whole objects on request", async (context) => {
  const server = await startServer(context);
  await server.request("POST", PODS, { body: pod("a") });
  const headers = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
  const table = await server.request("GET", `${PODS}?includeObject=Object`, { headers });
  const names = listOf(table.body["columnDefinitions"]).map((column) => [at(column, "name"), at(column, "priority")]);
  assert.deepEqual(names, [
    ["Name", 0],
    ["Ready", 0],
    ["Status", 0],
    ["Restarts", 0],
    ["Age", 0],
    ["IP", 1],
    ["Node", 1],
    ["Nominated Node", 1],
    ["Readiness Gates", 1],
  ]);
  const [row] = listOf(table.body["rows"]);
  assert.deepEqual(listOf(at(row, "cells")).slice(0, 4), ["a", "0/1", "Pending", "0"]);
  assert.equal(at(row, "object", "kind"), "Pod");
  assert.equal((await server.request("GET", `${PODS}?includeObject=Frob`, { headers })).code, 422);
});

test("pods/log streams what the lab has, and is not found otherwise", async (context) => {
  const podLog = (_namespace: string, name: string) => (name === "a" ? new Blob(["one\ntwo\n"]).stream() : undefined);
  const server = await startServer(context, { podLog });
  for (const name of ["a", "b"]) await server.request("POST", PODS, { body: pod(name) });
  assert.equal((await server.request("GET", `${PODS}/a/log`)).text, "one\ntwo\n");
  assert.equal((await server.request("GET", `${PODS}/b/log`)).code, 404);
  assert.equal((await server.request("POST", `${PODS}/a/exec`)).code, 501);
});
