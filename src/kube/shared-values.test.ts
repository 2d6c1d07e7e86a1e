import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedValues } from "./shared-values.ts";

test("SharedValues.list() gives the first list with the same entries, in the same order", () => {
  const shared = new SharedValues();
  const first = shared.list(["a", "b"]);
  assert.equal(shared.list(["a", "b"]), first);
  assert.notEqual(shared.list(["b", "a"]), first);
  assert.deepEqual(first, ["a", "b"]);
});

test("SharedValues.string() forgets names long gone, and stays right", () => {
  const shared = new SharedValues();
  for (let i = 0; i < 20_000; i++) assert.equal(shared.string(`node${i}`), `node${i}`);
  assert.equal(shared.string("node1"), "node1");
});
