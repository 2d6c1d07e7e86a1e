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
import { digest } from "./peers.ts";
import { selects } from "./policy-input.ts";
import { SharedParts } from "./shared-parts.ts";
import { compileTier } from "./tier-chains.ts";
import { type PolicyTiers, policiesAbout, rulesOfTier } from "./tiers.ts";

/** What the plan of a direction consists of. */
export interface DirectionPlan {
  /** The verdict map, its keys, and maps from ports to chains. */
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
  /** Sets of peers that the chains look into. */
  readonly peerSets: readonly string[];
  readonly addresses: readonly string[];
  /** By the chain that drops: the policies that leave it no choice, as policyName() names them. */
  readonly denials: ReadonlyMap<string, readonly string[]>;
}

type Context = Omit<ChainContext, "direction" | "family" | "admit">;

export class DirectionPlanner {
  readonly #direction: Direction;
  readonly #family: Family;
  #policies: ReadonlyMap<string, readonly ClusterPolicy[]> = new Map();
  #tiers: PolicyTiers = {};
  #namespaces: ReadonlyMap<string, Labels> = new Map();
  /** Of pods that were looked at already: what tells their chain from others; undefined for pods that nothing selects. */
  #keys = new WeakMap<PolicyPod, ChainKey | undefined>();
  #compiled = new Map<string, CompiledChain>();
  /** Which chain each address led to, and what came of it. */
  #last: { readonly chainsOf: ChainsOf; readonly plan: DirectionPlan } | undefined;
  readonly #parts = new SharedParts();

  constructor(direction: Direction, family: Family) {
    this.#direction = direction;
    this.#family = family;
  }

  /** @param policies by namespace, each sorted by name */
  setPolicies(policies: ReadonlyMap<string, readonly ClusterPolicy[]>, tiers: PolicyTiers): void {
    this.#policies = policies;
    this.#tiers = tiers;
    this.#keys = new WeakMap();
    this.#compiled = new Map();
    this.#last = undefined;
  }

  /** Subjects of ClusterNetworkPolicies are chosen by their namespaces' labels. */
  setNamespaces(namespaces: ReadonlyMap<string, Labels>): void {
    this.#namespaces = namespaces;
    if ((this.#tiers.clusterNetworkPolicies ?? []).length > 0) this.#keys = new WeakMap();
  }

  /** @returns the very plan of the last time where it is the same */
  plan(local: Iterable<PolicyPod>, context: Context): DirectionPlan {
    const used = new Map<string, CompiledChain>();
    const denials = new Map<string, readonly string[]>();
    const chainsOf = new Map<Ip, Set<string>>();
    for (const [ip, pods] of this.#selected(local)) {
      const admit = pods.size === 1 ? USUALLY[this.#direction] : "return";
      const names = new Set<string>();
      for (const [key, pod] of pods.values()) {
        const text = textOf(key, this.#direction, admit);
        const chain = used.get(text) ?? this.#compile(text, key, pod, { ...context, admit });
        used.set(text, chain);
        for (const [name, policies] of chain.denials) denials.set(name, policies);
        names.add(chain.name);
      }
      chainsOf.set(ip, names);
    }
    this.#compiled = used;
    // Equal names, equal chains: until policies change each is compiled once.
    if (this.#last === undefined || !sameChains(chainsOf, this.#last.chainsOf)) {
      this.#last = { chainsOf, plan: this.#put(used, chainsOf, denials) };
    }
    return this.#last.plan;
  }

  /** By address: the keys of the pods that have it, mostly one, each with such a pod. */
  #selected(local: Iterable<PolicyPod>): Map<Ip, Map<string, readonly [ChainKey, PolicyPod]>> {
    const found = new Map<Ip, Map<string, readonly [ChainKey, PolicyPod]>>();
    for (const pod of local) {
      const key = this.#keyOf(pod);
      if (key === undefined) continue;
      for (const ip of pod.ips) {
        if (ipFamily(ip) !== this.#family) continue;
        const keys = found.get(ip) ?? new Map();
        found.set(ip, keys.set(key.text, [key, pod]));
      }
    }
    return found;
  }

  #put(used: ReadonlyMap<string, CompiledChain>, chainsOf: ChainsOf, denials: DirectionPlan["denials"]): DirectionPlan {
    const { chains, maps, peerSets } = this.#parts.follow(used.values());
    const joined = new Map<string, NftChain>();
    const elements = Array.from(chainsOf, ([ip, names]) => `${ip} : jump ${this.#joined([...names].sort(), joined)}`);
    const addresses = [...chainsOf.keys()].sort();
    const key = this.#family === 4 ? ("ipv4_addr" as const) : ("ipv6_addr" as const);
    const name = this.#direction;
    return {
      sets: [
        { name, key, data: "verdict", interval: false, elements: elements.sort() },
        // The kernel asks no verdict map whether it holds a key.
        { name: `${name}-pods`, key, interval: false, elements: addresses },
        ...maps,
      ],
      chains: joined.size === 0 ? chains : [...chains, ...joined.values()],
      peerSets,
      addresses,
      denials,
    };
  }

  /** Whose the address is while two pods have it, nobody can tell: what both admit passes. @returns the chain's name */
  #joined(names: readonly string[], chains: Map<string, NftChain>): string {
    const [only = ""] = names;
    if (names.length === 1) return only;
    const name = `${this.#direction}-all-${digest(names.join(" "))}`;
    chains.set(name, { name, rules: names.map((jump) => ({ statements: [{ verdict: { jump } }] })) });
    return name;
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
    return chain;
  }
}

/** Chains of a key that do not do what is usual have another name. */
function textOf({ text }: Pick<ChainKey, "text">, direction: Direction, admit: Admit): string {
  return admit === USUALLY[direction] ? text : `${text} / ${admit}`;
}

/** Names of the chains of the pods that have an address; mostly one. */
type ChainsOf = ReadonlyMap<Ip, ReadonlySet<string>>;

function sameChains(a: ChainsOf, b: ChainsOf): boolean {
  if (a.size !== b.size) return false;
  for (const [ip, names] of a) {
    const others = b.get(ip);
    if (others === undefined || names.size !== others.size || !names.isSubsetOf(others)) return false;
  }
  return true;
}

interface ChainKey {
  readonly text: string;
  /** The part of NetworkPolicies: pods that differ in the rest share their chain. */
  readonly isolation: string;
  readonly policies: readonly ClusterPolicy[];
  /** ClusterNetworkPolicies, in their order. */
  readonly about: readonly ClusterNetworkPolicy[];
}
