/**
 * Cluster addresses of Services. What is allocated is exactly what stored Services hold, so nothing can leak and a dry
 * run needs no undo.
 */

import { type Family, type Ip, ipFamily, ipFromBigInt, ipToBigInt, tryParseIp } from "../../../model/ip.ts";
import { type Prefix, prefixNth, prefixRange } from "../../../model/prefix.ts";
import { at, type KubeObject, listOf } from "../object/object.ts";
import type { Collection } from "../store/collection.ts";

/** Enough to try before a range counts as full; ranges of the lab are far smaller than what it would take to get there. */
const MAX_TRIES = 1 << 20;

export class ServiceIpAllocator {
  readonly #ranges: readonly Prefix[];
  readonly #used = new Map<Ip, number>();
  readonly #next = new Map<Prefix, bigint>();

  constructor(ranges: readonly Prefix[], services: Collection) {
    this.#ranges = ranges;
    services.subscribe((event) => {
      if (event.previous !== undefined) this.#count(event.previous, -1);
      if (event.type !== "DELETED") this.#count(event.object, 1);
    });
  }

  /** Families Services can have, the default one first. */
  get families(): readonly Family[] {
    return this.#ranges.map((range) => prefixRange(range).family);
  }

  /** The address of default/kubernetes: the first of the range. */
  first(family: Family): Ip {
    return prefixNth(this.#range(family), 1n);
  }

  isFree(ip: Ip): boolean {
    return !this.#used.has(ip);
  }

  /** Why a Service cannot ask for this address; undefined when it can. */
  refusal(ip: string): string | undefined {
    const address = tryParseIp(ip);
    if (address === undefined) return "must be empty, 'None', or a valid IP address";
    const range = this.#ranges.find((prefix) => prefixRange(prefix).family === ipFamily(address));
    if (range === undefined) return `failed to allocate IP ${ip}: no service CIDR of its family is configured`;
    const { first, last } = usableNumbers(range);
    const number = ipToBigInt(address);
    if (number < first || number > last) {
      return `failed to allocate IP ${ip}: the provided IP is not in the valid range. The range of valid IPs is ${range}`;
    }
    return this.isFree(address) ? undefined : `failed to allocate IP ${ip}: provided IP is already allocated`;
  }

  /** The next free address of the family; undefined when the range is full. It is taken once a Service is stored. */
  allocate(family: Family, taken: readonly Ip[] = []): Ip | undefined {
    const range = this.#range(family);
    const { first, last } = usableNumbers(range);
    const dynamic = first + dynamicOffset(last - first + 1n);
    let candidate = this.#next.get(range) ?? dynamic;
    for (let i = 0; i < MAX_TRIES; i++) {
      if (candidate > last) candidate = first;
      const ip = ipFromBigInt(candidate, family);
      candidate++;
      if (this.isFree(ip) && !taken.includes(ip)) {
        this.#next.set(range, candidate);
        return ip;
      }
      if (BigInt(i) > last - first) return undefined;
    }
    return undefined;
  }

  #range(family: Family): Prefix {
    const range = this.#ranges.find((prefix) => prefixRange(prefix).family === family);
    if (range === undefined) throw new RangeError(`No service CIDR of family ${family} is configured`);
    return range;
  }

  #count(service: KubeObject, step: 1 | -1): void {
    for (const value of listOf(at(service, "spec", "clusterIPs"))) {
      const ip = tryParseIp(String(value));
      if (ip === undefined) continue;
      const count = (this.#used.get(ip) ?? 0) + step;
      if (count > 0) this.#used.set(ip, count);
      else this.#used.delete(ip);
    }
  }
}

/** All but the network address and, for IPv4, the broadcast address. */
function usableNumbers(range: Prefix): { first: bigint; last: bigint } {
  const { first, last, family } = prefixRange(range);
  return { first: first + 1n, last: family === 4 ? last - 1n : last };
}

/**
 * The lower part of the range is left to Services that ask for an address (KEP-3070): min(max(16, size/16), 256)
 * addresses. Dynamic ones start behind it.
 */
function dynamicOffset(size: bigint): bigint {
  const band = size / 16n < 16n ? 16n : size / 16n;
  return size <= 16n ? 0n : (band > 256n ? 256n : band) - 1n;
}
