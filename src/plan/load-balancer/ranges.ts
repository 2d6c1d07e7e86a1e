/** Ranges of addresses as numbers: what is inside, what is free next, how many there are. */
import { type Family, type Ip, ipFamily, ipFromBigInt, ipToBigInt } from "../../model/ip.ts";
import type { AddressPool, AddressRange } from "../../model/load-balancer.ts";

interface NumberRange {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** A pool during one plan: what was found taken once is not looked at again. */
export class PoolSpace {
  readonly pool: AddressPool;
  readonly #ranges: readonly NumberRange[];
  /** Where the search goes on, a number a range. */
  readonly #next: bigint[];

  constructor(pool: AddressPool) {
    this.pool = pool;
    this.#ranges = pool.ranges.map(numbersOf);
    this.#next = this.#ranges.map(({ first }) => first);
  }

  /** Whether the address is one of those that the pool gives out. */
  contains(ip: Ip): boolean {
    const family = ipFamily(ip);
    const value = ipToBigInt(ip);
    if (this.#isAvoided(value, family)) return false;
    return this.#ranges.some((range) => range.family === family && range.first <= value && value <= range.last);
  }

  hasFamily(family: Family): boolean {
    return this.#ranges.some((range) => range.family === family);
  }

  /** The lowest address of the first range that has one. What is taken once must stay taken during the plan. */
  nextFree(family: Family, isTaken: (ip: Ip) => boolean): Ip | undefined {
    for (const [i, range] of this.#ranges.entries()) {
      if (range.family !== family) continue;
      for (let value = this.#next[i] ?? range.first; value <= range.last; value++) {
        this.#next[i] = value;
        if (this.#isAvoided(value, family)) continue;
        const ip = ipFromBigInt(value, family);
        if (!isTaken(ip)) return ip;
      }
      this.#next[i] = range.last + 1n;
    }
    return undefined;
  }

  /** Addresses that the pool can give out, each once. */
  size(family: Family): bigint {
    let total = 0n;
    let end = -1n;
    const sorted = this.#ranges.filter((range) => range.family === family).sort((a, b) => (a.first < b.first ? -1 : 1));
    for (const range of sorted) {
      const first = range.first > end ? range.first : end + 1n;
      if (first > range.last) continue;
      total += range.last - first + 1n;
      if (this.pool.avoidBuggyIps && family === 4) total -= avoidedBetween(first, range.last);
      end = range.last;
    }
    return total;
  }

  #isAvoided(value: bigint, family: Family): boolean {
    if (!this.pool.avoidBuggyIps || family !== 4) return false;
    const octet = value & 0xffn;
    return octet === 0n || octet === 0xffn;
  }
}

/** True when the ranges share an address. */
export function rangesOverlap(a: AddressRange, b: AddressRange): boolean {
  const [x, y] = [numbersOf(a), numbersOf(b)];
  return x.family === y.family && x.first <= y.last && y.first <= x.last;
}

/** `192.0.2.1-192.0.2.9`, or the address alone. */
export function rangeText({ first, last }: AddressRange): string {
  return first === last ? first : `${first}-${last}`;
}

function numbersOf({ first, last }: AddressRange): NumberRange {
  return { family: ipFamily(first), first: ipToBigInt(first), last: ipToBigInt(last) };
}

/** How many IPv4 addresses from first to last end with .0 or .255. */
function avoidedBetween(first: bigint, last: bigint): bigint {
  const upTo = (value: bigint, octet: bigint) => (value < octet ? 0n : (value - octet) / 256n + 1n);
  const count = (octet: bigint) => upTo(last, octet) - (first === 0n ? 0n : upTo(first - 1n, octet));
  return count(0n) + count(255n);
}
