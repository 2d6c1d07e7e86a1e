import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { at, type Fields, listOf } from "../object/object.ts";
import { startServer, type TestServer } from "../test-server.ts";

const DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS = "/apis/example.com/v1/namespaces/default/widgets";

const SCHEMA: Fields = {
  type: "object",
  required: ["spec"],
  properties: {
    spec: {
      type: "object",
      required: ["size"],
      properties: {
        size: { type: "integer", minimum: 1, maximum: 9 },
        color: { type: "string", default: "red", enum: ["red", "blue"] },
        name: { type: "string", pattern: "^[a-z]+$", maxLength: 5 },
        port: { "x-kubernetes-int-or-string": true },
        open: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        items: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["id"],
          items: {
            type: "object",
            required: ["id"],
            properties: { id: { type: "string" }, on: { type: "boolean", default: true } },
          },
        },
      },
    },
    status: { type: "object", properties: { phase: { type: "string" } } },
  },
};

const columns = [
  { name: "Size", type: "integer", jsonPath: ".spec.size" },
  { name: "Color", type: "string", jsonPath: ".spec.color", priority: 1 },
];

const definition = (more: Fields = {}): Fields => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.example.com" },
  spec: {
    group: "example.com",
    scope: "Namespaced",
    names: { plural: "widgets", kind: "Widget", shortNames: ["wd"] },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: columns,
        schema: { openAPIV3Schema: SCHEMA },
      },
      { name: "v1beta1", served: true, storage: false, schema: { openAPIV3Schema: SCHEMA } },
    ],
    ...more,
  },
});

const widget = (spec: Fields, more: Fields = {}): Fields => ({
  apiVersion: "example.com/v1",
  kind: "Widget",
  metadata: { name: "w" },
  spec,
  ...more,
});

async function withWidgets(server: TestServer): Promise<TestServer> {
  const answer = await server.request("POST", DEFINITIONS, { body: definition() });
  assert.equal(answer.code, 201, answer.text);
  return server;
}

test("CustomResourceDefinition: established and served with the answer", async (context) => {
  const server = await withWidgets(await startServer(context));
  const { body } = await server.request("GET", `${DEFINITIONS}/widgets.example.com`);
  const conditions = listOf(at(body, "status", "conditions")).map((item) => [at(item, "type"), at(item, "status")]);
  assert.deepEqual(conditions, [
    ["NamesAccepted", "True"],
    ["Established", "True"],
  ]);
  assert.deepEqual(at(body, "spec", "names"), {
    plural: "widgets",
    kind: "Widget",
    shortNames: ["wd"],
    singular: "widget",
    listKind: "WidgetList",
  });
  assert.equal((await server.request("GET", WIDGETS)).code, 200);
  const list = await server.request("GET", "/apis/example.com/v1");
  assert.deepEqual(
    listOf(list.body["resources"]).map((item) => at(item, "name")),
    ["widgets", "widgets/status"],
  );
});

test("custom resources: defaults, pruning, and another version of the same object", async (context) => {
  const server = await withWidgets(await startServer(context));
  const body = widget({ size: 3, extra: 1, open: { any: [1] }, items: [{ id: "a" }] }, { status: { phase: "x" } });
  const created = await server.request("POST", WIDGETS, { body });
  assert.equal(created.code, 201, created.text);
  assert.deepEqual(created.body["spec"], { size: 3, color: "red", open: { any: [1] }, items: [{ id: "a", on: true }] });
  assert.equal(created.body["status"], undefined);
  const older = await server.request("GET", WIDGETS.replace("v1/", "v1beta1/").concat("/w"));
  assert.deepEqual([older.body["apiVersion"], at(older.body, "spec", "size")], ["example.com/v1beta1", 3]);
});

const INVALID: readonly { name: string; spec: Fields; text: RegExp }[] = [
  { name: "a missing field", spec: {}, text: /spec\.size: Required value/ },
  { name: "a wrong type", spec: { size: "x" }, text: /spec\.size in body must be of type integer: "string"/ },
  { name: "a small number", spec: { size: 0 }, text: /spec\.size in body should be greater than or equal to 1/ },
  { name: "a large number", spec: { size: 10 }, text: /less than or equal to 9/ },
  {
    name: "a value outside the enum",
    spec: { size: 1, color: "green" },
    text: /Unsupported value: "green": supported values: "red", "blue"/,
  },
  { name: "a pattern", spec: { size: 1, name: "A" }, text: /spec\.name in body should match/ },
  { name: "a long string", spec: { size: 1, name: "abcdef" }, text: /Too long/ },
  {
    name: "a list key twice",
    spec: { size: 1, items: [{ id: "a" }, { id: "a" }] },
    text: /spec\.items\[1\]: Duplicate value/,
  },
  { name: "neither int nor string", spec: { size: 1, port: true }, text: /integer,string/ },
];

test("custom resources: what the schema forbids is refused with 422 and the field", async (context) => {
  const server = await withWidgets(await startServer(context));
  for (const { name, spec, text } of INVALID) {
    const answer = await server.request("POST", WIDGETS, { body: widget(spec) });
    assert.equal(answer.code, 422, name);
    assert.match(String(answer.body["message"]), text, name);
  }
  const strict = await server.request("POST", `${WIDGETS}?fieldValidation=Strict`, {
    body: widget({ size: 1, foo: 1 }),
  });
  assert.deepEqual([strict.code, strict.body["message"]], [400, 'strict decoding error: unknown field "spec.foo"']);
});

test("custom resources: status, generation, merge patch yes and strategic no, update needs a version", async (context) => {
  const server = await withWidgets(await startServer(context));
  await server.request("POST", WIDGETS, { body: widget({ size: 1 }) });
  const patch = (path: string, body: unknown, type: string) =>
    server.request("PATCH", `${WIDGETS}/w${path}`, { body, type: `application/${type}-patch+json` });
  const status = await patch("/status", { status: { phase: "Up" }, spec: { size: 2 } }, "merge");
  assert.deepEqual(
    [at(status.body, "status", "phase"), at(status.body, "spec", "size"), at(status.body, "metadata", "generation")],
    ["Up", 1, 1],
  );
  assert.equal(at((await patch("", { spec: { size: 2 } }, "merge")).body, "metadata", "generation"), 2);
  assert.equal((await patch("", { spec: { size: 3 } }, "strategic-merge")).code, 415);
  assert.equal((await server.request("PUT", `${WIDGETS}/w`, { body: widget({ size: 3 }) })).code, 422);
});

test("custom resources: server-side apply merges keyed lists", async (context) => {
  const server = await withWidgets(await startServer(context));
  const apply = (manager: string, spec: Fields) =>
    server.request("PATCH", `${WIDGETS}/w?fieldManager=${manager}`, {
      body: widget(spec),
      type: "application/apply-patch+yaml",
    });
  await apply("one", { size: 1, items: [{ id: "a" }] });
  const both = await apply("two", { size: 1, items: [{ id: "b", on: false }] });
  assert.deepEqual(
    listOf(at(both.body, "spec", "items")).map((item) => at(item, "id")),
    ["a", "b"],
  );
});

test("custom resources: tables have the definition's columns", async (context) => {
  const server = await withWidgets(await startServer(context));
  await server.request("POST", WIDGETS, { body: widget({ size: 4 }) });
  const { body } = await server.request("GET", WIDGETS, {
    headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
  });
  assert.deepEqual(
    listOf(body["columnDefinitions"]).map((column) => [at(column, "name"), at(column, "priority")]),
    [
      ["Name", 0],
      ["Size", 0],
      ["Color", 1],
    ],
  );
  assert.deepEqual(at(listOf(body["rows"])[0], "cells"), ["w", 4, "red"]);
});

test("CustomResourceDefinition: deleting it deletes its objects and takes the paths away", async (context) => {
  const server = await withWidgets(await startServer(context));
  await server.request("POST", WIDGETS, { body: widget({ size: 1 }) });
  const watch = await server.watch(`${WIDGETS}?watch=1`);
  await server.request("DELETE", `${DEFINITIONS}/widgets.example.com`);
  assert.deepEqual(
    (await watch.until(({ type }) => type === "DELETED")).map(({ type }) => type),
    ["ADDED", "DELETED"],
  );
  watch.close();
  while (server.store.get("customresourcedefinitions", undefined, "widgets.example.com") !== undefined)
    await nextTurn();
  assert.equal((await server.request("GET", WIDGETS)).code, 404);
});

const versions = (change: (version: Fields) => void) => {
  const version = {
    name: "v1",
    served: true,
    storage: true,
    schema: { openAPIV3Schema: { type: "object" } as Fields },
  };
  change(version);
  return { versions: [version] };
};

const BAD_DEFINITIONS: readonly { name: string; spec: Fields; text: RegExp }[] = [
  { name: "no schema", spec: versions((version) => delete version["schema"]), text: /schemas are required/ },
  {
    name: "no storage version",
    spec: versions((version) => Object.assign(version, { storage: false })),
    text: /exactly one version marked as storage/,
  },
  {
    name: "a field without type",
    spec: versions((version) =>
      Object.assign(version, { schema: { openAPIV3Schema: { type: "object", properties: { spec: {} } } } }),
    ),
    text: /properties\[spec\]\.type: Required value/,
  },
  { name: "another name", spec: { names: { plural: "gadgets", kind: "Widget" } }, text: /must be spec\.names\.plural/ },
  { name: "an unknown scope", spec: { scope: "Galaxy" }, text: /supported values: "Cluster", "Namespaced"/ },
  { name: "webhook conversion", spec: { conversion: { strategy: "Webhook" } }, text: /supported values: "None"/ },
  {
    name: "a pattern that does not compile",
    spec: versions((version) =>
      Object.assign(version, {
        schema: { openAPIV3Schema: { type: "object", properties: { a: { type: "string", pattern: "(" } } } },
      }),
    ),
    text: /pattern/,
  },
];

test("CustomResourceDefinition: bad ones are refused with 422 and the field", async (context) => {
  const server = await startServer(context);
  for (const { name, spec, text } of BAD_DEFINITIONS) {
    const answer = await server.request("POST", DEFINITIONS, { body: definition(spec) });
    assert.equal(answer.code, 422, `${name}: ${answer.text}`);
    assert.match(String(answer.body["message"]), text, name);
  }
});
