/**
 * The text format of Prometheus' metrics (https://prometheus.io/docs/instrumenting/exposition_formats/), as much of it as
 * it takes to read counters, gauges and histograms that others serve.
 */
import type { Bucket } from "./latency.ts";

export interface MetricSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples by the metric's name; "_bucket", "_sum" and "_count" of histograms are names of their own. */
export type MetricSamples = ReadonlyMap<string, readonly MetricSample[]>;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Lines that are none are left out: how many there were is for the caller to judge by. */
export function parseMetrics(text: string): MetricSamples {
  const samples = new Map<string, MetricSample[]>();
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : LINE.exec(line.trim());
    if (match === null) continue;
    const [, name = "", labelText = "", valueText = ""] = match;
    const value = parseValue(valueText);
    if (value === undefined) continue;
    const labels = Object.fromEntries(
      [...labelText.matchAll(LABEL)].map(([, key = "", raw = ""]) => [key, unescapeLabel(raw)]),
    );
    const list = samples.get(name);
    if (list === undefined) samples.set(name, [{ labels, value }]);
    else list.push({ labels, value });
  }
  return samples;
}

function parseValue(text: string): number | undefined {
  if (text === "+Inf" || text === "Inf") return Number.POSITIVE_INFINITY;
  if (text === "-Inf") return Number.NEGATIVE_INFINITY;
  if (text === "NaN") return undefined;
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}

function unescapeLabel(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, mark: string) => (mark === "n" ? "\n" : mark));
}

/** The sum over all labels; undefined when there is no such metric. */
export function metricValue(samples: MetricSamples, name: string): number | undefined {
  const found = samples.get(name);
  return found?.reduce((sum, { value }) => sum + value, 0);
}

/**
 * A histogram's buckets, summed over all other labels, in the order of their limits; undefined when there is none.
 * @param earlier what was counted before, taken off: the histogram of the time between. A counter that began anew counts whole
 */
export function metricBuckets(samples: MetricSamples, name: string, earlier?: MetricSamples): Bucket[] | undefined {
  const now = summedBuckets(samples, name);
  if (now === undefined) return undefined;
  const before = (earlier === undefined ? undefined : summedBuckets(earlier, name)) ?? new Map<number, number>();
  const isNew = [...now].some(([most, count]) => count < (before.get(most) ?? 0));
  return [...now]
    .map(([most, count]) => ({ most, count: isNew ? count : count - (before.get(most) ?? 0) }))
    .sort((a, b) => a.most - b.most);
}

function summedBuckets(samples: MetricSamples, name: string): Map<number, number> | undefined {
  const found = samples.get(`${name}_bucket`);
  if (found === undefined) return undefined;
  const buckets = new Map<number, number>();
  for (const { labels, value } of found) {
    const most = parseValue(labels["le"] ?? "");
    if (most !== undefined) buckets.set(most, (buckets.get(most) ?? 0) + value);
  }
  return buckets;
}
