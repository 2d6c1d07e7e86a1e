/** Latencies as samples and as histograms: percentiles of both. Milliseconds everywhere. */

export interface LatencySummary {
  readonly samples: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of fewer than a thousand samples it is the worst of them. */
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** @param samples at least one, in any order */
export function summarize(samples: readonly number[]): LatencySummary {
  const sorted = [...samples].sort((a, b) => a - b);
  return {
    samples: sorted.length,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    p999Ms: percentile(sorted, 0.999),
    maxMs: percentile(sorted, 1),
  };
}

/** The nearest rank: a value that was measured. @param sorted at least one */
export function percentile(sorted: readonly number[], share: number): number {
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("No percentile of no samples");
  return value;
}

/** A bucket counts all that took at most so long; the last one, without limit, counts all. */
export interface Bucket {
  readonly most: number;
  readonly count: number;
}

/**
 * As Prometheus' histogram_quantile has it: linear inside a bucket; in the last, which has no end, its beginning.
 * @param buckets cumulative, in the order of their limits, the last with Infinity
 * @returns undefined when nothing was counted
 */
export function histogramQuantile(share: number, buckets: readonly Bucket[]): number | undefined {
  const total = buckets.at(-1)?.count ?? 0;
  if (!(total > 0)) return undefined;
  const rank = share * total;
  const index = buckets.findIndex(({ count }) => count >= rank);
  const [bucket, below] = [buckets[index], buckets[index - 1]];
  if (bucket === undefined) return undefined;
  const [from, before] = [below?.most ?? 0, below?.count ?? 0];
  if (bucket.most === Number.POSITIVE_INFINITY) return from;
  if (bucket.count === before) return bucket.most;
  return from + ((bucket.most - from) * (rank - before)) / (bucket.count - before);
}
