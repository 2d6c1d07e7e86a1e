/**
 * Plans of all Services together, kept while single ones change: who has which frontend, and what the table needs for
 * all of them. A change costs what the Service has, whatever the number of Services; the result depends on the plans
 * only, not on the order in which they came.
 */
import type { Frontend, ServicePlan } from "../../model/frontend.ts";
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import { frontendNeeds } from "./elements.ts";
import { betterFirst, type Claim, type FrontendConflict, hairpinElement } from "./table.ts";

/** What one or more changes touched; the ledger tells what is there now. */
export interface Touched {
  /** Keys of frontends. */
  readonly frontends: Set<string>;
  /** Elements of the set `cluster-ips`. */
  readonly clusterIps: Set<Ip>;
  /** Elements of the set `hairpin`. */
  readonly hairpins: Set<string>;
}

export function noneTouched(): Touched {
  return { frontends: new Set(), clusterIps: new Set(), hairpins: new Set() };
}

export class ServiceLedger {
  readonly #plans = new Map<string, ServicePlan>();
  /** All that claim a frontend, the one who has it first; mostly there is one. */
  readonly #claims = new Map<string, Claim[]>();
  readonly #clusterIps = new Counts();
  readonly #hairpins = new Counts();
  readonly #needs: Record<Family, Counts> = { 4: new Counts(), 6: new Counts() };
  readonly #contested = new Set<string>();

  get size(): number {
    return this.#plans.size;
  }

  plans(): IterableIterator<ServicePlan> {
    return this.#plans.values();
  }

  plan(key: string): ServicePlan | undefined {
    return this.#plans.get(key);
  }

  /** The frontend as it is served: that of the best claim to it. */
  frontend(key: string): Frontend | undefined {
    return this.#claims.get(key)?.[0]?.frontend;
  }

  /** Keys of all frontends. */
  frontends(): IterableIterator<string> {
    return this.#claims.keys();
  }

  hasClusterIp(ip: Ip): boolean {
    return this.#clusterIps.has(ip);
  }

  hasHairpin(element: string): boolean {
    return this.#hairpins.has(element);
  }

  clusterIps(): Iterable<Ip> {
    return this.#clusterIps.names();
  }

  hairpins(): Iterable<string> {
    return this.#hairpins.names();
  }

  /** What the frontends of a family need of the table's chains. */
  needs(family: Family): Iterable<string> {
    return this.#needs[family].names();
  }

  /** Tells when {@link needs} may have changed: it grows with each name that comes or goes. */
  needsVersion(family: Family): number {
    return this.#needs[family].version;
  }

  /** Who goes without a frontend, sorted. */
  conflicts(): FrontendConflict[] {
    return [...this.#contested].sort().flatMap((key) => {
      const [winner, ...losers] = this.#claims.get(key) ?? [];
      return losers.map(({ plan }) => ({ key, loser: plan.key, winner: winner?.plan.key ?? "" }));
    });
  }

  /** Replaces a Service's plan, or forgets it; what that touches is added to `touched`. */
  set(key: string, plan: ServicePlan | undefined, touched: Touched): void {
    const before = this.#plans.get(key);
    if (before !== undefined) this.#remove(before, touched);
    if (plan === undefined) this.#plans.delete(key);
    else {
      this.#plans.set(key, plan);
      this.#add(plan, touched);
    }
  }

  #add(plan: ServicePlan, touched: Touched): void {
    for (const frontend of plan.frontends) {
      touched.frontends.add(frontend.key);
      this.#claim(frontend.key, (claims) => [...claims, { plan, frontend }].sort(betterFirst));
    }
    this.#count(plan, 1, touched);
  }

  #remove(plan: ServicePlan, touched: Touched): void {
    for (const { key } of plan.frontends) {
      touched.frontends.add(key);
      this.#claim(key, (claims) => claims.filter((claim) => claim.plan !== plan));
    }
    this.#count(plan, -1, touched);
  }

  #claim(key: string, change: (claims: readonly Claim[]) => Claim[]): void {
    const before = this.#claims.get(key) ?? [];
    const after = change(before);
    if (before[0] !== after[0]) {
      this.#countNeeds(before[0]?.frontend, -1);
      this.#countNeeds(after[0]?.frontend, 1);
    }
    if (after.length === 0) this.#claims.delete(key);
    else this.#claims.set(key, after);
    if (after.length > 1) this.#contested.add(key);
    else this.#contested.delete(key);
  }

  #countNeeds(frontend: Frontend | undefined, by: 1 | -1): void {
    if (frontend === undefined) return;
    for (const name of frontendNeeds(frontend)) this.#needs[frontend.family].add(name, by);
  }

  #count(plan: ServicePlan, by: 1 | -1, touched: Touched): void {
    for (const ip of plan.clusterIps) {
      touched.clusterIps.add(ip);
      this.#clusterIps.add(ip, by);
    }
    for (const ip of plan.localAddresses) {
      const element = hairpinElement(ip);
      touched.hairpins.add(element);
      this.#hairpins.add(element, by);
    }
  }
}

/** How often each name is wanted. */
class Counts {
  readonly #counts = new Map<string, number>();
  version = 0;

  has(name: string): boolean {
    return this.#counts.has(name);
  }

  names(): IterableIterator<string> {
    return this.#counts.keys();
  }

  add(name: string, by: 1 | -1): void {
    const before = this.#counts.get(name) ?? 0;
    const after = before + by;
    if (before === 0 || after === 0) this.version++;
    if (after === 0) this.#counts.delete(name);
    else this.#counts.set(name, after);
  }
}

/** The family of an element that begins with an address. */
export function elementFamily(element: string): Family {
  return ipFamily(element.slice(0, element.indexOf(" ") < 0 ? undefined : element.indexOf(" ")));
}
