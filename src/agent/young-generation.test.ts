import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapSpaceStatistics } from "node:v8";
import { keepYoungGenerationSmall } from "./young-generation.ts";

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? Number.NaN;
}

/** What a list of objects is while it is read: much, and all of it survives. */
function readMuch(): unknown[] {
  return Array.from({ length: 400_000 }, (_, i) => ({ name: `object ${i}`, values: [i, i + 1] }));
}

test("keepYoungGenerationSmall() keeps V8's young generation from growing, whatever survives in it", () => {
  keepYoungGenerationSmall();
  const before = youngBytes();
  assert.equal(readMuch().length, 400_000);
  assert.equal(youngBytes(), before);
});
