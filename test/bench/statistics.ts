/** Medians, quantiles and ratios of samples. */

/** The sample below which `share` (0 to 1) of all samples are. @throws RangeError for no samples */
export function quantile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new RangeError("A quantile needs samples");
  const sorted = samples.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)] ?? 0;
  const above = sorted[Math.ceil(position)] ?? below;
  return below + (above - below) * (position - Math.floor(position));
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/**
 * Median of the ratios of samples that were taken next to each other: what else the machine did at that moment weighs on
 * both. @throws RangeError when the lists are not pairs
 */
export function medianRatio(ours: readonly number[], reference: readonly number[]): number {
  if (ours.length !== reference.length) {
    throw new RangeError(`${ours.length} samples cannot be paired with ${reference.length}`);
  }
  return median(ours.map((value, i) => value / (reference[i] ?? Number.NaN)));
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
