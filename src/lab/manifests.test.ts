import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import { createApiServer } from "./api/server.ts";
import { applyManifests, readManifests } from "./manifests.ts";

function folder(t: TestContext, files: Readonly<Record<string, string>>): string {
  const path = mkdtempSync(join(tmpdir(), "breakwater-manifests-"));
  t.after(() => rmSync(path, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

function store(t: TestContext) {
  const server = createApiServer({ clusterCidrs: ["10.244.0.0/16"], serviceCidrs: ["10.96.0.0/16"] });
  t.after(() => server.close());
  return server.store;
}

const pod = (name: string) => `apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec: {containers: [{name: c, image: x}]}
`;

test("readManifests() reads files in order, several documents and Lists, and passes over empty ones", (t) => {
  const path = folder(t, {
    "b.yaml": `${pod("two")}---\n---\n${pod("three")}`,
    "a.yml": pod("one"),
    "c.json": JSON.stringify({
      apiVersion: "v1",
      kind: "List",
      items: [{ apiVersion: "v1", kind: "Pod", metadata: { name: "four" } }],
    }),
    "readme.txt": "no manifest",
  });
  mkdirSync(join(path, "sub"));
  const names = readManifests(path).map(({ object }) => object.metadata["name"]);
  assert.deepEqual(names, ["one", "two", "three", "four"]);
});

for (const [name, files, message] of [
  ["an empty folder", {}, /there is no \.yaml/],
  ["YAML that does not parse", { "a.yaml": "a: [1" }, /a\.yaml, document 1: /],
  [
    "an object without a kind",
    { "a.yaml": "metadata: {name: x}" },
    /a\.yaml, document 1: it has no apiVersion and kind/,
  ],
  ["text", { "a.yaml": `${pod("x")}---\nhello` }, /a\.yaml, document 2/],
] as const) {
  test(`readManifests() names the place of ${name}`, (t) => {
    const path = folder(t, files);
    assert.throws(
      () => readManifests(path),
      (error: unknown) => isBreakwaterError(error, "BW_MANIFEST") && message.test(error.message),
    );
  });
}

test("applyManifests() puts what has no namespace into default", (t) => {
  const objects = store(t);
  const created = applyManifests(objects, readManifests(folder(t, { "a.yaml": pod("one") })));
  assert.deepEqual(created, ["pod default/one"]);
  assert.notEqual(objects.get("pods", "default", "one"), undefined);
});

test("applyManifests() makes all objects or none", (t) => {
  const objects = store(t);
  const path = folder(t, { "a.yaml": pod("one"), "b.yaml": "apiVersion: v1\nkind: Gadget\nmetadata: {name: x}\n" });
  assert.throws(() => applyManifests(objects, readManifests(path)), /b\.yaml, document 1: .*Gadget/);
  assert.equal(objects.get("pods", "default", "one"), undefined);
});
