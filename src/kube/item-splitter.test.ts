import assert from "node:assert/strict";
import { test } from "node:test";
import { ItemSplitter } from "./item-splitter.ts";

function split(text: string, chunkBytes: number): { items: unknown[]; envelope: unknown } {
  const items: unknown[] = [];
  const splitter = new ItemSplitter((item) => items.push(item));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += chunkBytes) splitter.push(bytes.subarray(at, at + chunkBytes));
  return { items, envelope: splitter.end() };
}

const LISTS: readonly { readonly name: string; readonly list: Record<string, unknown> }[] = [
  { name: "no items", list: { kind: "NodeList", metadata: { resourceVersion: "1" }, items: [] } },
  { name: "items that are null", list: { kind: "NodeList", metadata: { resourceVersion: "1" }, items: null } },
  { name: "items first", list: { items: [{ a: 1 }, { a: 2 }], metadata: { continue: "x" } } },
  {
    name: "brackets and quotes in strings",
    list: { items: [{ s: '}]{["\\"' }, { s: '\\\\"items":[' }], metadata: {} },
  },
  { name: "nested items", list: { items: [{ items: [{ items: [1, 2] }] }], metadata: { items: [{ deep: true }] } } },
  { name: "another array before", list: { other: [{ x: 1 }], items: [{ y: [] }], after: [[]] } },
  { name: "characters of four bytes", list: { items: [{ s: "🐳日" }, { s: "é" }], metadata: {} } },
];

for (const { name, list } of LISTS) {
  test(`ItemSplitter gives what JSON.parse gives, however the bytes are cut: ${name}`, () => {
    for (const text of [JSON.stringify(list), JSON.stringify(list, null, 2)]) {
      for (const chunkBytes of [1, 2, 3, 7, text.length * 4]) {
        const { items, envelope } = split(text, chunkBytes);
        assert.deepEqual(items, list["items"] ?? []);
        assert.deepEqual(envelope, Array.isArray(list["items"]) ? { ...list, items: [] } : list);
      }
    }
  });
}

for (const text of [
  '{"items":[{"a":1},',
  '{"items":[{"a":1}]',
  '{"items":[{"a"',
  "",
  "<html>",
  '{"items":["text"]}',
  '{"items":[1]}',
  '{"items":[{"a":}]}',
]) {
  test(`ItemSplitter refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => split(text, 5), SyntaxError);
  });
}

test("ItemSplitter refuses an item larger than any Kubernetes object", () => {
  const splitter = new ItemSplitter(() => {});
  splitter.push(Buffer.from('{"items":[{"a":"'));
  const megabyte = Buffer.alloc(1 << 20, "x");
  assert.throws(() => {
    for (let i = 0; i < 17; i++) splitter.push(megabyte);
  }, RangeError);
});
