/** How much of a pool is used, and what is wrong with it: what its status says. */
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import { type AddressPool, POOL_FAMILIES, type PoolFamily } from "../../model/load-balancer.ts";
import type { Claims } from "./claims.ts";
import { type PoolSpace, rangesOverlap, rangeText } from "./ranges.ts";

export interface PoolUse {
  readonly pool: AddressPool;
  /** Addresses of the pool that Services have, a shared one once. */
  readonly assigned: Readonly<Record<PoolFamily, number>>;
  /** Addresses that are free; at most what a JSON number holds exactly. */
  readonly available: Readonly<Record<PoolFamily, number>>;
  readonly problems: readonly string[];
}

const FAMILIES: readonly Family[] = [4, 6];

export function poolUses(spaces: readonly PoolSpace[], claims: Claims): ReadonlyMap<string, PoolUse> {
  const taken = [...claims.taken()];
  const pools = spaces.map(({ pool }) => pool);
  return new Map(spaces.map((space) => [space.pool.name, poolUse(space, taken, pools)]));
}

function poolUse(space: PoolSpace, taken: readonly Ip[], pools: readonly AddressPool[]): PoolUse {
  const mine = taken.filter((ip) => space.contains(ip));
  const used = (family: Family) => mine.filter((ip) => ipFamily(ip) === family).length;
  const free = (family: Family) => clamp(space.size(family) - BigInt(used(family)));
  const { pool } = space;
  return {
    pool,
    assigned: byFamily(used),
    available: byFamily(free),
    problems: [...(pool.problems ?? []), ...overlaps(pool, pools)],
  };
}

function byFamily(count: (family: Family) => number): Record<PoolFamily, number> {
  return Object.fromEntries(FAMILIES.map((family) => [POOL_FAMILIES[family], count(family)])) as Record<
    PoolFamily,
    number
  >;
}

function clamp(value: bigint): number {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > most ? most : value);
}

function overlaps(pool: AddressPool, pools: readonly AddressPool[]): string[] {
  return pools
    .filter((other) => other.name !== pool.name)
    .flatMap((other) =>
      pool.ranges
        .filter((range) => other.ranges.some((theirs) => rangesOverlap(range, theirs)))
        .map((range) => `${rangeText(range)} overlaps LoadBalancerPool ${other.name}: no address is given out twice`),
    )
    .sort();
}
