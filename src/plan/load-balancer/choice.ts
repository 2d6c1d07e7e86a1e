/** Which pools a Service may have its addresses from, and which of their addresses comes first. */
import type { ClusterNamespace } from "../../model/cluster.ts";
import { compareIp, type Family, type Ip, ipFamily } from "../../model/ip.ts";
import type { AddressPool, BalancedService } from "../../model/load-balancer.ts";
import { matchesSelector } from "../../model/selector.ts";
import type { Claims } from "./claims.ts";
import { PoolSpace } from "./ranges.ts";

export type Found = { readonly ip: Ip } | { readonly why: string };

export class PoolChoice {
  /** By what they choose among, then by name. */
  readonly #spaces: readonly PoolSpace[];
  readonly #namespaces: ReadonlyMap<string, ClusterNamespace>;

  constructor(pools: readonly AddressPool[], namespaces: ReadonlyMap<string, ClusterNamespace>) {
    // A pool that is meant for some goes before those for everybody.
    const rank = (pool: AddressPool) => (pool.namespaces === undefined && pool.services === undefined ? 1 : 0);
    const order = (a: AddressPool, b: AddressPool) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1);
    this.#spaces = [...pools].sort(order).map((pool) => new PoolSpace(pool));
    this.#namespaces = namespaces;
  }

  spaces(): readonly PoolSpace[] {
    return this.#spaces;
  }

  /** Whether some pool has the address, whoever may have it. */
  knows(ip: Ip): boolean {
    return this.#spaces.some((space) => space.contains(ip));
  }

  /** Why a Service cannot have an address that it asks for, other Services aside; undefined when it can. */
  wishRefusal(service: BalancedService, ip: Ip): string | undefined {
    const spaces = this.#spaces.filter((space) => space.contains(ip));
    if (spaces.length === 0) return "no LoadBalancerPool gives it out";
    if (spaces.some(({ pool }) => this.#admits(pool, service) && isNamed(pool, service))) return undefined;
    const names = spaces.map(({ pool }) => pool.name).join(", ");
    return `it is of LoadBalancerPool ${names}, which is not for this Service`;
  }

  /** An address that the Service shares, or else the first free one. */
  find(service: BalancedService, family: Family, claims: Claims): Found {
    const admitting = this.#spaces.filter(
      ({ pool }) => isNamed(pool, service) && (pool.autoAssign || service.wantedPool !== ""),
    );
    const spaces = admitting.filter((space) => this.#admits(space.pool, service) && space.hasFamily(family));
    const shared = claims
      .sharedUnder(service.sharingKey)
      .filter((ip) => ipFamily(ip) === family && claims.refusal(service, ip) === undefined)
      .sort(compareIp)
      .find((ip) => spaces.some((space) => space.contains(ip)));
    if (shared !== undefined) return { ip: shared };
    for (const space of spaces) {
      const ip = space.nextFree(family, (each) => claims.isTaken(each));
      if (ip !== undefined) return { ip };
    }
    return { why: this.#whyNone(service, family, spaces) };
  }

  #admits({ namespaces, services }: AddressPool, { namespace, labels }: BalancedService): boolean {
    if (services !== undefined && !matchesSelector(services, labels)) return false;
    if (namespaces === undefined) return true;
    const found = this.#namespaces.get(namespace);
    return found !== undefined && matchesSelector(namespaces, found.labels);
  }

  #whyNone(service: BalancedService, family: Family, searched: readonly PoolSpace[]): string {
    const what = `no IPv${family} address`;
    const names = searched.map(({ pool }) => pool.name);
    if (names.length > 0) return `${what}: LoadBalancerPool ${names.join(", ")} has no free one`;
    const { wantedPool } = service;
    if (wantedPool === "") return `${what}: no LoadBalancerPool gives IPv${family} addresses to this Service`;
    const pool = this.#spaces.find((space) => space.pool.name === wantedPool)?.pool;
    if (pool === undefined) return `${what}: there is no LoadBalancerPool ${wantedPool}`;
    if (!this.#admits(pool, service)) return `${what}: LoadBalancerPool ${wantedPool} is not for this Service`;
    return `${what}: LoadBalancerPool ${wantedPool} has none of this family`;
  }
}

function isNamed({ name }: AddressPool, { wantedPool }: BalancedService): boolean {
  return wantedPool === "" || wantedPool === name;
}
