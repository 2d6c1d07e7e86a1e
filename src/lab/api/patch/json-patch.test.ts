import assert from "node:assert/strict";
import { test } from "node:test";
import { applyJsonPatch, JsonPatchConflictError, JsonPatchSyntaxError } from "./json-patch.ts";

/** RFC 6902, appendix A, by its section, and what the RFC leaves to the reader. */
const CASES: readonly { name: string; document: unknown; patch: unknown; result: unknown }[] = [
  {
    name: "A.1 add a member",
    document: { foo: "bar" },
    patch: [{ op: "add", path: "/baz", value: "qux" }],
    result: { baz: "qux", foo: "bar" },
  },
  {
    name: "A.2 add a list item",
    document: { foo: ["bar", "baz"] },
    patch: [{ op: "add", path: "/foo/1", value: "qux" }],
    result: { foo: ["bar", "qux", "baz"] },
  },
  {
    name: "A.3 remove a member",
    document: { baz: "qux", foo: "bar" },
    patch: [{ op: "remove", path: "/baz" }],
    result: { foo: "bar" },
  },
  {
    name: "A.4 remove a list item",
    document: { foo: ["bar", "qux", "baz"] },
    patch: [{ op: "remove", path: "/foo/1" }],
    result: { foo: ["bar", "baz"] },
  },
  {
    name: "A.5 replace",
    document: { baz: "qux", foo: "bar" },
    patch: [{ op: "replace", path: "/baz", value: "boo" }],
    result: { baz: "boo", foo: "bar" },
  },
  {
    name: "A.6 move a value",
    document: { foo: { bar: "baz", waldo: "fred" }, qux: { corge: "grault" } },
    patch: [{ op: "move", from: "/foo/waldo", path: "/qux/thud" }],
    result: { foo: { bar: "baz" }, qux: { corge: "grault", thud: "fred" } },
  },
  {
    name: "A.7 move a list item",
    document: { foo: ["all", "grass", "cows", "eat"] },
    patch: [{ op: "move", from: "/foo/1", path: "/foo/3" }],
    result: { foo: ["all", "cows", "eat", "grass"] },
  },
  {
    name: "A.8 test that holds",
    document: { baz: "qux", foo: ["a", 2, "c"] },
    patch: [
      { op: "test", path: "/baz", value: "qux" },
      { op: "test", path: "/foo/1", value: 2 },
    ],
    result: { baz: "qux", foo: ["a", 2, "c"] },
  },
  {
    name: "A.10 add a nested object",
    document: { foo: "bar" },
    patch: [{ op: "add", path: "/child", value: { grandchild: {} } }],
    result: { foo: "bar", child: { grandchild: {} } },
  },
  {
    name: "A.11 ignore unknown members",
    document: { foo: "bar" },
    patch: [{ op: "add", path: "/baz", value: "qux", xyz: 123 }],
    result: { foo: "bar", baz: "qux" },
  },
  {
    name: "A.14 ~ escapes",
    document: { "/": 9, "~1": 10 },
    patch: [{ op: "test", path: "/~01", value: 10 }],
    result: { "/": 9, "~1": 10 },
  },
  {
    name: "A.16 add a list into a list",
    document: { foo: ["bar"] },
    patch: [{ op: "add", path: "/foo/-", value: ["abc", "def"] }],
    result: { foo: ["bar", ["abc", "def"]] },
  },
  {
    name: "copy is deep",
    document: { a: { b: 1 } },
    patch: [
      { op: "copy", from: "/a", path: "/c" },
      { op: "replace", path: "/c/b", value: 2 },
    ],
    result: { a: { b: 1 }, c: { b: 2 } },
  },
  { name: "the whole document", document: { a: 1 }, patch: [{ op: "replace", path: "", value: [1] }], result: [1] },
  {
    name: "__proto__ is data",
    document: {},
    patch: [{ op: "add", path: "/__proto__", value: 1 }],
    result: JSON.parse('{"__proto__":1}'),
  },
];

for (const { name, document, patch, result } of CASES) {
  test(`applyJsonPatch() ${name}`, () => {
    const before = structuredClone(document);
    assert.deepEqual(applyJsonPatch(document, patch), result);
    assert.deepEqual(document, before, "the document itself is left alone");
  });
}

const CONFLICTS: readonly { name: string; document: unknown; patch: unknown }[] = [
  { name: "A.9 test that fails", document: { baz: "qux" }, patch: [{ op: "test", path: "/baz", value: "bar" }] },
  {
    name: "A.12 add to a missing parent",
    document: { foo: "bar" },
    patch: [{ op: "add", path: "/baz/bat", value: "qux" }],
  },
  { name: "A.15 strings are no numbers", document: { a: 10 }, patch: [{ op: "test", path: "/a", value: "10" }] },
  { name: "remove what is missing", document: {}, patch: [{ op: "remove", path: "/a" }] },
  { name: "replace what is missing", document: {}, patch: [{ op: "replace", path: "/a", value: 1 }] },
  { name: "an index behind the list", document: [1], patch: [{ op: "add", path: "/5", value: 1 }] },
  { name: "an index with a leading zero", document: [1, 2], patch: [{ op: "remove", path: "/01" }] },
  { name: "a move into itself", document: { a: { b: {} } }, patch: [{ op: "move", from: "/a", path: "/a/b" }] },
];

for (const { name, document, patch } of CONFLICTS) {
  test(`applyJsonPatch() refuses ${name}`, () => {
    assert.throws(() => applyJsonPatch(document, patch), JsonPatchConflictError);
  });
}

for (const patch of [
  {},
  "x",
  [1],
  [{ op: "frob", path: "/a" }],
  [{ op: "add", path: "a", value: 1 }],
  [{ op: "add", path: "/a" }],
  [{ op: "move", path: "/a" }],
]) {
  test(`applyJsonPatch() refuses ${JSON.stringify(patch)} as no patch`, () => {
    assert.throws(() => applyJsonPatch({ a: 1 }, patch), JsonPatchSyntaxError);
  });
}
