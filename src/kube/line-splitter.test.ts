import assert from "node:assert/strict";
import { test } from "node:test";
import { LineSplitter, MAX_OBJECT_BYTES } from "./line-splitter.ts";

test("LineSplitter gives the same lines however the bytes are cut", () => {
  const text = 'one\n\n{"s":"日本🐳"}\nlast without end';
  for (let size = 1; size <= text.length; size++) {
    const lines: string[] = [];
    const splitter = new LineSplitter((line) => lines.push(line));
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) splitter.push(bytes.subarray(at, at + size));
    assert.deepEqual(lines, ["one", '{"s":"日本🐳"}']);
    assert.equal(splitter.pendingBytes, "last without end".length);
  }
});

test("LineSplitter takes a line of many chunks in time linear to its length", () => {
  let length = 0;
  const splitter = new LineSplitter((line) => {
    length = line.length;
  });
  const chunk = Buffer.alloc(4096, "x");
  for (let i = 0; i < 2000; i++) splitter.push(chunk);
  splitter.push(Buffer.from("\n"));
  assert.equal(length, 4096 * 2000);
});

test("LineSplitter refuses a line longer than any Kubernetes object", () => {
  const splitter = new LineSplitter(() => {});
  const chunk = Buffer.alloc(1 << 20, "x");
  assert.throws(() => {
    for (let bytes = 0; bytes <= MAX_OBJECT_BYTES; bytes += chunk.length) splitter.push(chunk);
  }, RangeError);
});
