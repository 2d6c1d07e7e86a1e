import assert from "node:assert/strict";
import { test } from "node:test";
import { histogramQuantile, percentile, summarize } from "./latency.ts";

test("summarize() takes values that were measured", () => {
  const samples = Array.from({ length: 1000 }, (_, i) => 1000 - i);
  assert.deepEqual(summarize(samples), { samples: 1000, p50Ms: 500, p99Ms: 990, p999Ms: 999, maxMs: 1000 });
  assert.deepEqual(summarize([7]), { samples: 1, p50Ms: 7, p99Ms: 7, p999Ms: 7, maxMs: 7 });
  assert.throws(() => percentile([], 0.5), RangeError);
});

test("histogramQuantile() is Prometheus'", () => {
  const buckets = [
    { most: 1, count: 50 },
    { most: 2, count: 90 },
    { most: 4, count: 100 },
    { most: Number.POSITIVE_INFINITY, count: 100 },
  ];
  assert.equal(histogramQuantile(0.5, buckets), 1);
  assert.equal(histogramQuantile(0.25, buckets), 0.5);
  assert.equal(histogramQuantile(0.7, buckets), 1.5);
  assert.equal(histogramQuantile(0.99, buckets), 3.8);
  assert.equal(histogramQuantile(0.99, [...buckets.slice(0, 3), { most: Number.POSITIVE_INFINITY, count: 200 }]), 4);
  assert.equal(histogramQuantile(0.5, []), undefined);
  assert.equal(histogramQuantile(0.5, [{ most: Number.POSITIVE_INFINITY, count: 0 }]), undefined);
});
