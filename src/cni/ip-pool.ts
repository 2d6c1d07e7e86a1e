/**
 * The addresses of one pod CIDR: which are free, in which order they are given out, which rest after use. Pure: the
 * clock and the kernel are asked through arguments.
 *
 * Never given out:  IPv4 .0 (the VXLAN endpoint's own address) and the broadcast address;
 *                   IPv6 ::  (subnet-router anycast, RFC 4291 section 2.6.1).
 * The first address (.1) is given out: the pods' gateway is link-local, so no address of the CIDR is spent on one. Where
 * another plugin left a bridge with .1, the kernel says that it is in use.
 *
 * Order: round robin, so that an address comes back as late as possible; a freed one rests for the hold-back time and
 * is taken earlier only when nothing else is left, the one longest free first.
 */
import { type Ip, ipFamily, ipFromBigInt, ipToBigInt } from "../model/ip.ts";
import { type Prefix, type PrefixRange, prefixRange } from "../model/prefix.ts";

/** An IPv6 CIDR has more addresses than a node can use: offsets stay numbers, and a walk around stays finite. */
const MAX_POOL_SIZE = 2n ** 32n;

export class IpPool {
  readonly cidr: Prefix;
  private readonly range: PrefixRange;
  /** Offsets of the first and the last address that may be given out; an empty pool has first > last. */
  private readonly firstOffset: number;
  private readonly lastOffset: number;
  private readonly used = new Set<number>();
  /** Freed addresses and when, oldest first. */
  private readonly resting = new Map<number, number>();
  private cursor: number;

  constructor(cidr: Prefix) {
    this.cidr = cidr;
    this.range = prefixRange(cidr);
    const size = this.range.last - this.range.first + 1n;
    // RFC 3021: a /31 has no broadcast address. A /32 or /128 is the node's own, and nothing is left for pods.
    const hasBroadcast = this.range.family === 4 && size > 2n;
    this.firstOffset = 1;
    this.lastOffset = Number(size < MAX_POOL_SIZE ? size : MAX_POOL_SIZE) - (hasBroadcast ? 2 : 1);
    this.cursor = this.firstOffset;
  }

  /** How many addresses may be given out at most. */
  get capacity(): number {
    return Math.max(0, this.lastOffset - this.firstOffset + 1);
  }

  get usedCount(): number {
    return this.used.size;
  }

  contains(ip: Ip): boolean {
    if (ipFamily(ip) !== this.range.family) return false;
    const value = ipToBigInt(ip);
    return value >= this.range.first && value <= this.range.last;
  }

  /** True for an address of the CIDR that is never given out, not even on request. */
  isReserved(ip: Ip): boolean {
    const offset = this.offsetOf(ip);
    return offset !== undefined && !this.isUsable(offset);
  }

  /**
   * The next free address, now in use; undefined when there is none. `isFree` judges candidates beyond this pool's own
   * knowledge (the kernel's).
   */
  take(nowMs: number, holdBackMs: number, isFree: (ip: Ip) => boolean): Ip | undefined {
    this.expire(nowMs, holdBackMs);
    const offset = this.nextUnused(isFree) ?? this.longestResting(isFree);
    if (offset === undefined) return undefined;
    this.cursor = offset === this.lastOffset ? this.firstOffset : offset + 1;
    return this.use(offset);
  }

  /** Marks an address as in use. Those of other CIDRs are none of this pool's business. */
  markUsed(ip: Ip): void {
    const offset = this.offsetOf(ip);
    if (offset !== undefined) this.use(offset);
  }

  /** Marks an address as free since `atMs`. */
  release(ip: Ip, atMs: number): void {
    const offset = this.offsetOf(ip);
    if (offset === undefined) return;
    this.used.delete(offset);
    this.resting.delete(offset);
    this.resting.set(offset, atMs);
  }

  /** Resting addresses with the time they were freed, oldest first; for the journal's snapshot. */
  restingAddresses(): readonly { readonly ip: Ip; readonly atMs: number }[] {
    return [...this.resting].map(([offset, atMs]) => ({ ip: this.address(offset), atMs }));
  }

  /** Where the walk goes on; for the journal's snapshot. */
  get nextAddress(): Ip {
    return this.address(this.cursor);
  }

  set nextAddress(ip: Ip) {
    const offset = this.offsetOf(ip);
    if (offset !== undefined && this.isUsable(offset)) this.cursor = offset;
  }

  private use(offset: number): Ip {
    this.resting.delete(offset);
    this.used.add(offset);
    return this.address(offset);
  }

  private expire(nowMs: number, holdBackMs: number): void {
    for (const [offset, atMs] of this.resting) {
      // A clock that was set back must not hold an address for ever.
      if (nowMs - atMs < holdBackMs && atMs <= nowMs) break;
      this.resting.delete(offset);
    }
  }

  private nextUnused(isFree: (ip: Ip) => boolean): number | undefined {
    let offset = this.cursor;
    for (let steps = this.capacity; steps > 0; steps--) {
      if (!this.used.has(offset) && !this.resting.has(offset) && isFree(this.address(offset))) return offset;
      offset = offset === this.lastOffset ? this.firstOffset : offset + 1;
    }
    return undefined;
  }

  private longestResting(isFree: (ip: Ip) => boolean): number | undefined {
    for (const offset of this.resting.keys()) {
      if (this.isUsable(offset) && isFree(this.address(offset))) return offset;
    }
    return undefined;
  }

  private address(offset: number): Ip {
    return ipFromBigInt(this.range.first + BigInt(offset), this.range.family);
  }

  private isUsable(offset: number): boolean {
    return offset >= this.firstOffset && offset <= this.lastOffset;
  }

  /** Undefined outside the CIDR, and behind the end of a pool that was cut to MAX_POOL_SIZE. */
  private offsetOf(ip: Ip): number | undefined {
    if (!this.contains(ip)) return undefined;
    const offset = ipToBigInt(ip) - this.range.first;
    return offset < MAX_POOL_SIZE ? Number(offset) : undefined;
  }
}
