/**
 * resourceVersions of one collection. They are decimal numbers that grow with every write, and clients may compare
 * them (KEP-5504, "Comparable Resource Version"); one that is no such number is never called older or newer.
 */

const DECIMAL = /^[1-9]\d*$/;

/** True when `a` is certainly older than `b`. They exceed 2^53, so text is compared, by length first. */
export function isOlderVersion(a: string, b: string): boolean {
  if (!DECIMAL.test(a) || !DECIMAL.test(b)) return false;
  return a.length === b.length ? a < b : a.length < b.length;
}
