import assert from "node:assert/strict";
import { test } from "node:test";
import { median, medianRatio, quantile, sum } from "./statistics.ts";

test("median() is the middle sample, or the mean of the two in the middle", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([7]), 7);
});

test("quantile() runs from the smallest to the largest sample", () => {
  const samples = [30, 10, 20, 40, 50];
  assert.equal(quantile(samples, 0), 10);
  assert.equal(quantile(samples, 1), 50);
  assert.equal(quantile(samples, 0.25), 20);
  assert.deepEqual(samples, [30, 10, 20, 40, 50], "the samples keep their order");
});

test("quantile() refuses to invent a figure", () => {
  assert.throws(() => quantile([], 0.5), RangeError);
});

test("medianRatio() compares neighbours: a disturbed round weighs on both", () => {
  assert.equal(medianRatio([2, 20, 2], [1, 10, 1]), 2);
  assert.equal(medianRatio([2, 2, 20], [1, 1, 1]), 2);
});

test("medianRatio() refuses samples that are no pairs", () => {
  assert.throws(() => medianRatio([1, 2], [1]), /2 samples cannot be paired with 1/);
});

test("sum() adds", () => {
  assert.equal(sum([]), 0);
  assert.equal(sum([1, 2, 3.5]), 6.5);
});
