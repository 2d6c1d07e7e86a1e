/**
 * Which Service of type LoadBalancer has which addresses: a function of what is, pools, Services and the addresses that they
 * have. Addresses stay where they are, wishes come next, and the rest is given what is free; of two Services the older one
 * is right. docs/design/load-balancer.md has the rules.
 */
import type { ClusterNamespace } from "../../model/cluster.ts";
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import type { AddressPool, BalancedService } from "../../model/load-balancer.ts";
import { serviceKey } from "../../model/service.ts";
import { PoolChoice } from "./choice.ts";
import { Claims } from "./claims.ts";
import { type PoolUse, poolUses } from "./pool-use.ts";

export interface AllocationInput {
  readonly services: Iterable<BalancedService>;
  readonly pools: readonly AddressPool[];
  /** By name: pools select Services by the labels of their namespaces. */
  readonly namespaces: ReadonlyMap<string, ClusterNamespace>;
}

export interface Allocation {
  readonly service: BalancedService;
  /** One of a family at most, in the order of the Service's families. */
  readonly ips: readonly Ip[];
  /** What it asks for and does not have, and what it has and should not: a sentence each. */
  readonly problems: readonly string[];
}

export interface AllocationPlan {
  /** Services that are ours, by "namespace/name", the oldest first. */
  readonly services: ReadonlyMap<string, Allocation>;
  /** By the pool's name. */
  readonly pools: ReadonlyMap<string, PoolUse>;
}

/** A Service while its addresses are decided. */
interface Draft {
  readonly service: BalancedService;
  readonly ips: Map<Family, Ip>;
  readonly problems: string[];
}

export function planAllocations({ services, pools, namespaces }: AllocationInput): AllocationPlan {
  const claims = new Claims();
  const choice = new PoolChoice(pools, namespaces);
  const all = [...services].sort(byAge);
  for (const service of all) if (!service.isOurs) for (const ip of service.held) claims.take(service, ip);
  const drafts = all
    .filter(({ isOurs }) => isOurs)
    .map((service): Draft => ({ service, ips: new Map(), problems: [...service.problems] }));
  for (const draft of drafts) keepHeld(draft, claims);
  grantWishes(drafts, claims, choice);
  for (const draft of drafts) fillUp(draft, claims, choice);
  for (const draft of drafts) reportStrays(draft, choice);
  const allocations = drafts.map((draft): [string, Allocation] => [serviceKey(draft.service), allocationOf(draft)]);
  return { services: new Map(allocations), pools: poolUses(choice.spaces(), claims) };
}

/** What a Service has stays, one address of each of its families, unless an older one has it. */
function keepHeld({ service, ips, problems }: Draft, claims: Claims): void {
  for (const ip of service.held) {
    const family = ipFamily(ip);
    if (!service.families.includes(family) || ips.has(family)) continue;
    const refusal = claims.refusal(service, ip);
    if (refusal !== undefined) {
      problems.push(`it lost ${ip}: ${refusal}`);
      continue;
    }
    ips.set(family, ip);
    claims.take(service, ip);
  }
}

/**
 * An address that is asked for takes the place of what the Service has, once it can be had. What one leaves another may
 * ask for: it goes on until nobody gets anything.
 */
function grantWishes(drafts: readonly Draft[], claims: Claims, choice: PoolChoice): void {
  const asking = drafts.filter(({ service }) => service.wantedIps.length > 0);
  for (let goesOn = true; goesOn; ) {
    goesOn = false;
    for (const draft of asking) if (grantOne(draft, claims, choice)) goesOn = true;
  }
  for (const { service, ips, problems } of asking) {
    for (const ip of service.wantedIps) {
      const has = ips.get(ipFamily(ip));
      if (has === ip) continue;
      const stays = has === undefined ? "" : `; it keeps ${has}`;
      problems.push(`it cannot have ${ip}: ${wishRefusal(service, ip, claims, choice)}${stays}`);
    }
  }
}

function grantOne({ service, ips }: Draft, claims: Claims, choice: PoolChoice): boolean {
  const ip = service.wantedIps.find(
    (each) => ips.get(ipFamily(each)) !== each && wishRefusal(service, each, claims, choice) === undefined,
  );
  if (ip === undefined) return false;
  const before = ips.get(ipFamily(ip));
  if (before !== undefined) claims.release(service, before);
  ips.set(ipFamily(ip), ip);
  claims.take(service, ip);
  return true;
}

function wishRefusal(service: BalancedService, ip: Ip, claims: Claims, choice: PoolChoice): string | undefined {
  if (!service.families.includes(ipFamily(ip))) return `the Service has no IPv${ipFamily(ip)} (spec.ipFamilies)`;
  return choice.wishRefusal(service, ip) ?? claims.refusal(service, ip);
}

/** Families without an address get one; of a Service that needs all of them, none or all. */
function fillUp({ service, ips, problems }: Draft, claims: Claims, choice: PoolChoice): void {
  const asked = new Set(service.wantedIps.map(ipFamily));
  const missing = service.families.filter((family) => !ips.has(family) && !asked.has(family));
  if (missing.length === 0 || service.problems.length > 0) return;
  const found = missing.map((family) => choice.find(service, family, claims));
  const reasons = found.flatMap((each) => ("why" in each ? [each.why] : []));
  if (service.needsAllFamilies && reasons.length > 0) {
    problems.push(...reasons.map((why) => `${why}, and ipFamilyPolicy is RequireDualStack`));
    return;
  }
  for (const each of found) {
    if (!("ip" in each)) continue;
    ips.set(ipFamily(each.ip), each.ip);
    claims.take(service, each.ip);
  }
  // PreferDualStack is content with one family.
  if (ips.size === 0) problems.push(...reasons);
}

/** A pool that shrank or went takes no Service its address. */
function reportStrays({ service, ips, problems }: Draft, choice: PoolChoice): void {
  for (const ip of ips.values()) {
    if (service.held.includes(ip) && !choice.knows(ip)) {
      problems.push(`it keeps ${ip}, which no LoadBalancerPool gives out any more`);
    }
  }
}

function allocationOf({ service, ips, problems }: Draft): Allocation {
  return { service, ips: service.families.flatMap((family) => ips.get(family) ?? []), problems };
}

/** The oldest first; of one age by key. */
function byAge(a: BalancedService, b: BalancedService): number {
  const [x, y] = [a.createdAt ?? "", b.createdAt ?? ""];
  if (x !== y) return x < y ? -1 : 1;
  return serviceKey(a) < serviceKey(b) ? -1 : 1;
}
