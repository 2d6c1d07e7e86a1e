import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fields } from "../object/object.ts";
import { StatusError } from "../object/status.ts";
import { builtInSchema } from "../schema/built-in.ts";
import { applyStrategicMergePatch } from "./strategic-merge.ts";

const container = (name: string, more: Fields = {}) => ({ name, ...more });

const CASES: readonly { name: string; kind: string; original: Fields; patch: Fields; result: Fields }[] = [
  {
    name: "merges a keyed list by its key",
    kind: "PodSpec",
    original: { containers: [container("a", { image: "1" }), container("b", { image: "1" })] },
    patch: { containers: [container("b", { image: "2" }), container("c")] },
    result: { containers: [container("a", { image: "1" }), container("b", { image: "2" }), container("c")] },
  },
  {
    name: "$patch: delete takes an item out",
    kind: "PodSpec",
    original: { containers: [container("a"), container("b")] },
    patch: { containers: [{ name: "a", $patch: "delete" }] },
    result: { containers: [container("b")] },
  },
  {
    name: "$patch: replace as an item replaces the list",
    kind: "PodSpec",
    original: { containers: [container("a"), container("b")] },
    patch: { containers: [container("c"), { $patch: "replace" }] },
    result: { containers: [container("c")] },
  },
  {
    name: "$patch: replace in a map replaces the map",
    kind: "ObjectMeta",
    original: { labels: { a: "1", b: "2" } },
    patch: { labels: { $patch: "replace", c: "3" } },
    result: { labels: { c: "3" } },
  },
  {
    name: "$patch: delete in a map deletes it",
    kind: "PodSpec",
    original: { securityContext: { fsGroup: 1 }, nodeName: "x" },
    patch: { securityContext: { $patch: "delete" } },
    result: { nodeName: "x" },
  },
  {
    name: "null deletes a field",
    kind: "ObjectMeta",
    original: { labels: { a: "1", b: "2" } },
    patch: { labels: { a: null } },
    result: { labels: { b: "2" } },
  },
  {
    name: "a list without a merge key is replaced",
    kind: "Container",
    original: { args: ["a", "b"] },
    patch: { args: ["c"] },
    result: { args: ["c"] },
  },
  {
    name: "a set of scalars is merged",
    kind: "ObjectMeta",
    original: { finalizers: ["a", "b"] },
    patch: { finalizers: ["b", "c"] },
    result: { finalizers: ["a", "b", "c"] },
  },
  {
    name: "$deleteFromPrimitiveList takes scalars out",
    kind: "ObjectMeta",
    original: { finalizers: ["a", "b", "c"] },
    patch: { "$deleteFromPrimitiveList/finalizers": ["a", "c"] },
    result: { finalizers: ["b"] },
  },
  {
    name: "$setElementOrder orders a keyed list, items it does not name stay behind their neighbour",
    kind: "PodSpec",
    original: { containers: [container("a"), container("x"), container("b"), container("c")] },
    patch: {
      "$setElementOrder/containers": [{ name: "c" }, { name: "b" }, { name: "a" }],
      containers: [container("b", { image: "2" })],
    },
    result: { containers: [container("c"), container("b", { image: "2" }), container("a"), container("x")] },
  },
  {
    name: "$setElementOrder orders scalars",
    kind: "ObjectMeta",
    original: { finalizers: ["a", "b"] },
    patch: { "$setElementOrder/finalizers": ["c", "b", "a"], finalizers: ["c"] },
    result: { finalizers: ["c", "b", "a"] },
  },
  {
    name: "$retainKeys drops the other members of a union",
    kind: "PodSpec",
    original: { volumes: [{ name: "v", emptyDir: {} }] },
    patch: { volumes: [{ name: "v", $retainKeys: ["name", "hostPath"], hostPath: { path: "/x" } }] },
    result: { volumes: [{ name: "v", hostPath: { path: "/x" } }] },
  },
  {
    name: "ports merge by containerPort, service ports by port",
    kind: "ServiceSpec",
    original: { ports: [{ port: 80, nodePort: 30080 }] },
    patch: { ports: [{ port: 80, name: "http" }, { port: 81 }] },
    result: { ports: [{ port: 80, nodePort: 30080, name: "http" }, { port: 81 }] },
  },
];

for (const { name, kind, original, patch, result } of CASES) {
  test(`applyStrategicMergePatch() ${name}`, () => {
    const before = structuredClone(original);
    assert.deepEqual(applyStrategicMergePatch(original, patch, builtInSchema(kind)), result);
    assert.deepEqual(original, before, "the original is left alone");
  });
}

for (const patch of [
  { containers: [{ image: "x" }] },
  { containers: ["x"] },
  { securityContext: { $patch: "frob" } },
]) {
  test(`applyStrategicMergePatch() refuses ${JSON.stringify(patch)}`, () => {
    assert.throws(
      () => applyStrategicMergePatch({}, patch, builtInSchema("PodSpec")),
      (error) => error instanceof StatusError && error.code === 400,
    );
  });
}
