/**
 * CIDR prefixes as canonical text: "10.244.1.0/24". The host bits of a canonical prefix are zero.
 */
import {
  compareIp,
  type Family,
  familyBits,
  type Ip,
  ipFamily,
  ipFromBigInt,
  ipToBigInt,
  ipv4ToNumber,
  parseIp,
} from "./ip.ts";

/** A canonical prefix, as {@link parsePrefix} returns it. */
export type Prefix = string;

/** A prefix in parts. `first` and `last` are addresses as integers, both inside the prefix. */
export interface PrefixRange {
  readonly family: Family;
  readonly length: number;
  readonly first: bigint;
  readonly last: bigint;
}

/**
 * Parses CIDR text and clears its host bits.
 * @throws SyntaxError naming the input
 */
export function parsePrefix(text: string): Prefix {
  const { address, length } = parseInterfaceAddress(text);
  const family = ipFamily(address);
  // Most prefixes are IPv4 and have no host bits to clear.
  if (family === 4 && ipv4ToNumber(address) % 2 ** (32 - length) === 0) return `${address}/${length}`;
  const shift = BigInt(familyBits(family) - length);
  return `${ipFromBigInt((ipToBigInt(address) >> shift) << shift, family)}/${length}`;
}

/**
 * Parses "address/length" and keeps the host bits, as an interface address has them.
 * @throws SyntaxError naming the input
 */
export function parseInterfaceAddress(text: string): { address: Ip; length: number } {
  const slash = text.indexOf("/");
  const bits = text.slice(slash + 1);
  if (slash < 0 || !/^\d{1,3}$/.test(bits)) throw new SyntaxError(`Cannot parse CIDR "${text}"`);
  const address = parseIp(text.slice(0, slash));
  const length = Number(bits);
  if (length > familyBits(ipFamily(address)))
    throw new SyntaxError(`Cannot parse CIDR "${text}": /${bits} is too long`);
  return { address, length };
}

/** The canonical prefix of one address: /32 or /128. */
export function hostPrefix(ip: Ip): Prefix {
  return `${ip}/${familyBits(ipFamily(ip))}`;
}

export function prefixAddress(prefix: Prefix): Ip {
  return prefix.slice(0, prefix.indexOf("/"));
}

export function prefixLength(prefix: Prefix): number {
  return Number(prefix.slice(prefix.indexOf("/") + 1));
}

export function prefixRange(prefix: Prefix): PrefixRange {
  const address = prefixAddress(prefix);
  const family = ipFamily(address);
  const length = prefixLength(prefix);
  const first = ipToBigInt(address);
  return { family, length, first, last: first + (1n << BigInt(familyBits(family) - length)) - 1n };
}

/** True when the address lies inside the prefix. False across families. */
export function prefixContains(prefix: Prefix, ip: Ip): boolean {
  const range = prefixRange(prefix);
  if (range.family !== ipFamily(ip)) return false;
  const value = ipToBigInt(ip);
  return value >= range.first && value <= range.last;
}

/** True when the first `length` bits of both addresses are the same. False across families. */
export function inSameSubnet(a: Ip, b: Ip, length: number): boolean {
  const family = ipFamily(a);
  if (family !== ipFamily(b)) return false;
  const shift = BigInt(familyBits(family) - length);
  return ipToBigInt(a) >> shift === ipToBigInt(b) >> shift;
}

/** True when the prefixes share an address. */
export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  const x = prefixRange(a);
  const y = prefixRange(b);
  return x.family === y.family && x.first <= y.last && y.first <= x.last;
}

/** The n-th address of a prefix, 0 being the network address. @throws RangeError when it lies outside */
export function prefixNth(prefix: Prefix, n: bigint): Ip {
  const range = prefixRange(prefix);
  if (n < 0n || range.first + n > range.last) throw new RangeError(`${prefix} has no address number ${n}`);
  return ipFromBigInt(range.first + n, range.family);
}

export function comparePrefix(a: Prefix, b: Prefix): number {
  return compareIp(prefixAddress(a), prefixAddress(b)) || prefixLength(a) - prefixLength(b);
}

/** A prefix with its range, worked out once. */
export interface RangedPrefix extends PrefixRange {
  readonly prefix: Prefix;
}

export function rangedPrefix(prefix: Prefix): RangedPrefix {
  return { prefix, ...prefixRange(prefix) };
}

/** Order within a family by first address, a range before those that begin with it. */
export function compareRanges(a: RangedPrefix, b: RangedPrefix): number {
  if (a.first !== b.first) return a.first < b.first ? -1 : 1;
  return a.length - b.length;
}

/** Drops every prefix that lies inside another: elements of an interval set must not overlap. Sorted as text. */
export function outermostPrefixes(prefixes: readonly Prefix[]): Prefix[] {
  return outermostOfSorted(Array.from(new Set(prefixes), rangedPrefix).sort(compareRanges)).sort();
}

/** The same of ranges of one family in the order of {@link compareRanges}; the result is in that order too. */
export function outermostOfSorted(ranges: readonly RangedPrefix[]): Prefix[] {
  const result: Prefix[] = [];
  let end = -1n;
  for (const { prefix, last } of ranges) {
    // What ends behind the last kept one is no part of it.
    if (last <= end) continue;
    result.push(prefix);
    end = last;
  }
  return result;
}

/** What is left of a prefix without others, as few prefixes as possible, sorted as text. */
export function subtractPrefixes(prefix: Prefix, holes: readonly Prefix[]): Prefix[] {
  const inside = holes.filter((hole) => ipFamily(hole) === ipFamily(prefix) && prefixesOverlap(hole, prefix));
  return subtractInside(prefix, inside).sort();
}

function subtractInside(prefix: Prefix, holes: readonly Prefix[]): Prefix[] {
  if (holes.length === 0) return [prefix];
  const length = prefixLength(prefix);
  if (holes.some((hole) => prefixLength(hole) <= length)) return [];
  const { first, last } = prefixRange(prefix);
  const family = ipFamily(prefix);
  const halves = [first, first + (last - first + 1n) / 2n].map((at) => `${ipFromBigInt(at, family)}/${length + 1}`);
  return halves.flatMap((half) =>
    subtractInside(
      half,
      holes.filter((hole) => prefixesOverlap(hole, half)),
    ),
  );
}
