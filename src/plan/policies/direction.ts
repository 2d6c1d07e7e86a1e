/** Which chain each pod of this node goes through in one direction: a verdict map by address. */

import type { Labels } from "../../model/cluster.ts";
import type { ClusterNetworkPolicy, PolicyTier } from "../../model/cluster-network-policy.ts";
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import type { NftChain, NftSet } from "../../model/nft.ts";
import type { ClusterPolicy, PolicyPod } from "../../model/policy.ts";
import { resolvedNames } from "./admissions.ts";
import {
  type Admit,
  type ChainContext,
  type CompiledChain,
  compileChain,
  type Direction,
  policyName,
  USUALLY,
} from "./chains.ts";
import type { TableParts } from "./counted-parts.ts";
import { digest } from "./peers.ts";
import { selects } from "./policy-input.ts";
import { compileTier } from "./tier-chains.ts";
import { type PolicyTiers, policiesAbout, rulesOfTier } from "./tiers.ts";

/** Where the addresses of this node's pods lead in a direction. */
export interface DirectionPlan {
  /** The verdict map, and its keys. */
  readonly sets: readonly NftSet[];
  readonly addresses: readonly string[];
}

type Context = Omit<ChainContext, "direction" | "family" | "admit">;

/** Where an address leads. */
interface Way {
  /** Of the pods that have it, by what tells chains from others. */
  readonly chains: ReadonlyMap<string, CompiledChain>;
  /** Chain that it jumps to. */
  readonly target: string;
  /** The target where several pods have the address. */
  readonly joined: NftChain | undefined;
}

export class DirectionPlanner {
  readonly #direction: Direction;
  readonly #family: Family;
  readonly #parts: TableParts;
  #policies: ReadonlyMap<string, readonly ClusterPolicy[]> = new Map();
  #tiers: PolicyTiers = {};
  #namespaces: ReadonlyMap<string, Labels> = new Map();
  /** Of pods that were looked at already: what tells their chain from others; undefined for pods that nothing selects. */
  #keys = new WeakMap<PolicyPod, ChainKey | undefined>();
  #compiled = new Map<string, CompiledChain>();
  /** Pods of this node, by address. */
  readonly #pods = new Map<Ip, Set<PolicyPod>>();
  readonly #ways = new Map<Ip, Way>();
  /** Addresses that may lead elsewhere than they did. */
  #touched = new Set<Ip>();
  #plan: DirectionPlan;

  /** @param parts get what the chains of this direction consist of */
  constructor(direction: Direction, family: Family, parts: TableParts) {
    this.#direction = direction;
    this.#family = family;
    this.#parts = parts;
    this.#plan = this.#put();
  }

  /** @param policies by namespace, each sorted by name */
  setPolicies(policies: ReadonlyMap<string, readonly ClusterPolicy[]>, tiers: PolicyTiers): void {
    this.#policies = policies;
    this.#tiers = tiers;
    this.#keys = new WeakMap();
    this.#compiled = new Map();
    this.#touchAll();
  }

  /** Subjects of ClusterNetworkPolicies are chosen by their namespaces' labels. */
  setNamespaces(namespaces: ReadonlyMap<string, Labels>): void {
    this.#namespaces = namespaces;
    if ((this.#tiers.clusterNetworkPolicies ?? []).length === 0) return;
    this.#keys = new WeakMap();
    this.#touchAll();
  }

  /** Those of pods that are gone among them, which nobody may have looked at yet. */
  #touchAll(): void {
    for (const ip of [...this.#ways.keys(), ...this.#pods.keys()]) this.#touched.add(ip);
  }

  /** Pods of this node come and go. */
  add(pod: PolicyPod): void {
    for (const ip of this.#ofFamily(pod)) {
      const pods = this.#pods.get(ip);
      if (pods === undefined) this.#pods.set(ip, new Set([pod]));
      else pods.add(pod);
      this.#touched.add(ip);
    }
  }

  /** The very object that was added. */
  remove(pod: PolicyPod): void {
    for (const ip of this.#ofFamily(pod)) {
      const pods = this.#pods.get(ip);
      pods?.delete(pod);
      if (pods?.size === 0) this.#pods.delete(ip);
      this.#touched.add(ip);
    }
  }

  #ofFamily({ ips }: PolicyPod): readonly Ip[] {
    return ips.filter((ip) => ipFamily(ip) === this.#family);
  }

  /** @returns the very plan of the last time where it is the same */
  plan(context: Context): DirectionPlan {
    const [touched, left] = [this.#touched, [] as Way[]];
    if (touched.size === 0) return this.#plan;
    let isSame = true;
    this.#touched = new Set();
    for (const ip of touched) {
      const [before, now] = [this.#ways.get(ip), this.#findWay(ip, context)];
      if (before !== undefined) left.push(before);
      if (now === undefined) this.#ways.delete(ip);
      else this.#ways.set(ip, now);
      if (before?.target !== now?.target) isSame = false;
    }
    // Behind all others: what two of them have in common stays.
    for (const way of left) this.#leave(way);
    if (!isSame) this.#plan = this.#put();
    return this.#plan;
  }

  /** Uses what it finds. */
  #findWay(ip: Ip, context: Context): Way | undefined {
    const keys = new Map<string, readonly [ChainKey, PolicyPod]>();
    for (const pod of this.#pods.get(ip) ?? []) {
      const key = this.#keyOf(pod);
      if (key !== undefined) keys.set(key.text, [key, pod]);
    }
    if (keys.size === 0) return undefined;
    const admit = keys.size === 1 ? USUALLY[this.#direction] : "return";
    const chains = new Map<string, CompiledChain>();
    for (const [key, pod] of keys.values()) {
      const text = textOf(key, this.#direction, admit);
      chains.set(text, this.#compile(text, key, pod, { ...context, admit }));
    }
    const names = Array.from(chains.values(), ({ name }) => name).sort();
    const joined = names.length === 1 ? undefined : this.#joined(names);
    for (const chain of chains.values()) this.#parts.use(chain);
    if (joined !== undefined) this.#parts.chains.add(joined.name, joined);
    return { chains, target: joined?.name ?? names.join(), joined };
  }

  /** Whose the address is while two pods have it, nobody can tell: what both admit passes. */
  #joined(names: readonly string[]): NftChain {
    const rules = names.map((jump) => ({ statements: [{ verdict: { jump } }] }));
    return { name: `${this.#direction}-all-${digest(names.join(" "))}`, rules };
  }

  #leave({ chains, joined }: Way): void {
    for (const [text, chain] of chains) {
      if (this.#parts.release(chain) && this.#compiled.get(text) === chain) this.#compiled.delete(text);
    }
    if (joined !== undefined) this.#parts.chains.remove(joined.name);
  }

  #put(): DirectionPlan {
    const addresses = [...this.#ways.keys()].sort();
    const elements = Array.from(this.#ways, ([ip, { target }]) => `${ip} : jump ${target}`).sort();
    const key = this.#family === 4 ? ("ipv4_addr" as const) : ("ipv6_addr" as const);
    const name = this.#direction;
    return {
      sets: [
        { name, key, data: "verdict", interval: false, elements },
        // The kernel asks no verdict map whether it holds a key.
        { name: `${name}-pods`, key, interval: false, elements: addresses },
      ],
      addresses,
    };
  }

  #keyOf(pod: PolicyPod): ChainKey | undefined {
    if (!this.#keys.has(pod)) this.#keys.set(pod, this.#findKey(pod));
    return this.#keys.get(pod);
  }

  #findKey(pod: PolicyPod): ChainKey | undefined {
    const policies = (this.#policies.get(pod.namespace) ?? []).filter((each) => selects(each, pod, this.#direction));
    const { clusterNetworkPolicies = [] } = this.#tiers;
    const subjected = policiesAbout(pod, this.#direction, clusterNetworkPolicies, { namespaces: this.#namespaces });
    // NetworkPolicies always decide: nothing comes to Baseline behind them.
    const about = policies.length === 0 ? subjected : subjected.filter(({ tier }) => tier === "Admin");
    if (policies.length === 0 && about.length === 0) return undefined;
    const isolation = this.#textOf(policies, pod);
    const text = about.length === 0 ? isolation : `${isolation} / ${this.#textOf(about, pod)}`;
    return { text, isolation, policies, about };
  }

  /** Named ports are the pod's own where it is dialled. */
  #textOf(policies: readonly (ClusterPolicy | ClusterNetworkPolicy)[], pod: PolicyPod): string {
    const own = this.#direction === "ingress" ? resolvedNames(policies, pod) : "";
    return `${policies.map(policyName).join(" ")} ${own}`;
  }

  /** @param text what tells the chain from others */
  #compile(text: string, key: ChainKey, pod: PolicyPod, context: Context & { readonly admit: Admit }): CompiledChain {
    const known = this.#compiled.get(text);
    if (known !== undefined) return known;
    const own = { ...context, direction: this.#direction, family: this.#family };
    const { policies, about } = key;
    const isolation = textOf({ text: key.isolation }, this.#direction, context.admit);
    const isolated = policies.length === 0 ? undefined : compileChain(isolation, policies, pod, own);
    const tier = (name: PolicyTier, next: CompiledChain | undefined) => {
      const rules = rulesOfTier(name, this.#direction, about);
      if (rules.length === 0) return next;
      return compileTier(text, rules, pod, { ...own, tier: name, nodes: this.#tiers.nodes, next });
    };
    const chain = tier("Admin", isolated ?? tier("Baseline", undefined));
    if (chain === undefined) throw new RangeError(`Nothing speaks of pods with key ${text}`);
    this.#compiled.set(text, chain);
    return chain;
  }
}

/** Chains of a key that do not do what is usual have another name. */
function textOf({ text }: Pick<ChainKey, "text">, direction: Direction, admit: Admit): string {
  return admit === USUALLY[direction] ? text : `${text} / ${admit}`;
}

interface ChainKey {
  readonly text: string;
  /** The part of NetworkPolicies: pods that differ in the rest share their chain. */
  readonly isolation: string;
  readonly policies: readonly ClusterPolicy[];
  /** ClusterNetworkPolicies, in their order. */
  readonly about: readonly ClusterNetworkPolicy[];
}
