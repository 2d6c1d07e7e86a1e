import assert from "node:assert/strict";
import { test } from "node:test";
import { ParallelQueue } from "./parallel-queue.ts";

test("ParallelQueue runs jobs in order, and no more at once than it may", async () => {
  const queue = new ParallelQueue(2);
  const started: number[] = [];
  const gates = [0, 1, 2, 3].map(() => Promise.withResolvers<void>());
  for (const [i, gate] of gates.entries()) {
    queue.push(() => {
      started.push(i);
      return gate.promise;
    });
  }
  assert.deepEqual(started, [0, 1]);
  gates[1]?.resolve();
  await new Promise(setImmediate);
  assert.deepEqual(started, [0, 1, 2]);
  gates[0]?.resolve();
  gates[2]?.resolve();
  await new Promise(setImmediate);
  assert.deepEqual(started, [0, 1, 2, 3]);
});
