import assert from "node:assert/strict";
import { test } from "node:test";
import { metricBuckets, metricValue, parseMetrics } from "./metrics-text.ts";

const TEXT = `# HELP d Time
# TYPE d histogram
d_bucket{le="0.001"} 3
d_bucket{le="0.002"} 10
d_bucket{le="+Inf"} 12
d_sum 0.5
d_count 12
calls{path="/a\\"b",code="200"} 5
calls{path="/c",code="500"} 2 1700000000000
up 1
share NaN
big 1.5e+09
not a metric at all
`;

test("parseMetrics() reads samples with labels, and leaves out what is none", () => {
  const samples = parseMetrics(TEXT);
  assert.deepEqual(samples.get("calls")?.[0], { labels: { path: '/a"b', code: "200" }, value: 5 });
  assert.equal(metricValue(samples, "calls"), 7);
  assert.equal(metricValue(samples, "big"), 1.5e9);
  assert.equal(metricValue(samples, "nothing"), undefined);
  assert.equal(samples.has("share"), false);
  assert.equal(parseMetrics("<html>hello</html>").size, 0);
});

test("metricBuckets() gives the histogram of the time between", () => {
  const before = parseMetrics(TEXT);
  const after = parseMetrics('d_bucket{le="+Inf"} 20\nd_bucket{le="0.001"} 4\nd_bucket{le="0.002"} 15\n');
  assert.deepEqual(metricBuckets(after, "d", before), [
    { most: 0.001, count: 1 },
    { most: 0.002, count: 5 },
    { most: Number.POSITIVE_INFINITY, count: 8 },
  ]);
  assert.equal(metricBuckets(after, "e"), undefined);
});

test("metricBuckets() counts all of a server that was started meanwhile", () => {
  const after = parseMetrics('d_bucket{le="0.001"} 1\nd_bucket{le="+Inf"} 2\n');
  assert.deepEqual(metricBuckets(after, "d", parseMetrics(TEXT)), [
    { most: 0.001, count: 1 },
    { most: Number.POSITIVE_INFINITY, count: 2 },
  ]);
});
