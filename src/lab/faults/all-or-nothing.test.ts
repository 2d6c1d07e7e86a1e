import assert from "node:assert/strict";
import { test } from "node:test";
import { allOrNothing } from "./all-or-nothing.ts";

test("allOrNothing() takes the steps before a failure back, the last one first", () => {
  const log: string[] = [];
  assert.throws(
    () =>
      allOrNothing((undo) => {
        undo.defer(() => log.push("first"));
        undo.defer(() => log.push("second"));
        throw new RangeError("third");
      }),
    /third/,
  );
  assert.deepEqual(log, ["second", "first"]);
});

test("allOrNothing() takes nothing back until it is told to, then all, also past one that fails", async () => {
  const log: string[] = [];
  const undo = allOrNothing((steps) => {
    steps.defer(() => log.push("first"));
    steps.defer(() => {
      throw new RangeError("second");
    });
  });
  assert.deepEqual(log, []);
  await assert.rejects(undo, /second/);
  assert.deepEqual(log, ["first"]);
});
