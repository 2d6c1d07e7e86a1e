/**
 * Plans the table of one family, and plans it anew at the price of what changed: objects that are the same as in the last
 * round are not looked at again. What it plans depends on the last input alone, never on those before it.
 */
import type { ClusterNetworkPolicy } from "../../model/cluster-network-policy.ts";
import type { Family } from "../../model/ip.ts";
import type { NftSet, NftTable } from "../../model/nft.ts";
import type { ObservedTable } from "../../model/nft-changes.ts";
import type { ClusterPolicy, PolicyPod } from "../../model/policy.ts";
import { sameItems, sameValues } from "../../model/same.ts";
import type { DeniedLog } from "./chains.ts";
import { TableParts } from "./counted-parts.ts";
import { type DirectionPlan, DirectionPlanner } from "./direction.ts";
import { byName, type Frame, policyTable } from "./frame.ts";
import { PeerSets } from "./peer-sets.ts";
import { tablesThatDiffer, takeParts, wholeTables } from "./planned-parts.ts";
import { PodIndex } from "./pod-index.ts";
import type { PolicyInput } from "./policy-input.ts";
import { type PolicyTiers, speakOfNodes } from "./tiers.ts";

export interface PolicySteps {
  readonly wanted: NftTable;
  readonly before: ObservedTable | undefined;
}

export interface Exchange<T> {
  readonly added: readonly T[];
  readonly removed: readonly T[];
}

export class PolicyPlanner {
  readonly #family: Family;
  #frame: Frame;
  readonly #index = new PodIndex();
  readonly #sets: PeerSets;
  readonly #parts: TableParts;
  readonly #directions: readonly DirectionPlanner[];
  #policies: readonly ClusterPolicy[] = [];
  #clusterPolicies: readonly ClusterNetworkPolicy[] = [];
  /** Empty unless a rule speaks of nodes. */
  #nodes: NonNullable<PolicyTiers["nodes"]> = new Map();
  #pods: readonly PolicyPod[] = [];
  #logDenied: DeniedLog | undefined;
  #plans: readonly DirectionPlan[] = [];
  /** The sets of this node's pods. */
  #podSets: readonly NftSet[] = [];
  #isolates = false;

  constructor(family: Family) {
    this.#family = family;
    this.#frame = { family, throughIpvs: false };
    this.#sets = new PeerSets(this.#index, family);
    this.#parts = new TableParts(this.#sets);
    this.#directions = (["egress", "ingress"] as const).map((each) => new DirectionPlanner(each, family, this.#parts));
  }

  /** By the chain that drops ("ingress-denied-…"): the policies that deny, as policyName() names them. */
  get denials(): ReadonlyMap<string, readonly string[]> {
    return this.#parts.denials;
  }

  /**
   * Follows the cluster. Whether IPVS serves is for good.
   * @param change between the last input's pods and this one's, where the caller follows them: each time, or never
   * @returns the steps from the last input's table to this one's: the same as two tables in which what did not change is left out
   */
  update(input: PolicyInput, change: Exchange<PolicyPod> = this.#exchange(input)): PolicySteps {
    this.#frame = { family: this.#family, throughIpvs: input.throughIpvs === true };
    this.#followPolicies(input);
    this.#followPods(input, change);
    const context = { sets: this.#sets, logDenied: input.logDenied };
    const [wasThere, podSets] = [this.#isolates, this.#podSets];
    this.#put(this.#directions.map((direction) => direction.plan(context)));
    const taken = takeParts(this.#parts, this.#sets, { now: this.#podSets, before: podSets });
    if (wasThere && this.#isolates) return tablesThatDiffer(this.#frame, taken);
    return wholeTables(this.#frame, this.table(), wasThere);
  }

  /** All of it. A table that isolates nobody is no table. */
  table(): NftTable {
    if (!this.#isolates) return { ...policyTable(this.#frame, [], []), chains: [] };
    const { maps, peers, chains } = this.#parts;
    const sets = [...this.#podSets, ...maps.values(), ...peers.values().map((set) => set.whole())];
    return policyTable(this.#frame, sets, chains.values());
  }

  #followPolicies({ policies, clusterNetworkPolicies = [], nodes, logDenied }: PolicyInput): void {
    const meant = nodes !== undefined && speakOfNodes(clusterNetworkPolicies) ? nodes : new Map();
    const isSame =
      sameItems(policies, this.#policies) &&
      sameItems(clusterNetworkPolicies, this.#clusterPolicies) &&
      sameValues(meant, this.#nodes);
    const isSameLog =
      logDenied?.group === this.#logDenied?.group && logDenied?.perSecond === this.#logDenied?.perSecond;
    if (isSame && isSameLog) return;
    this.#policies = [...policies];
    this.#clusterPolicies = [...clusterNetworkPolicies];
    this.#nodes = new Map(meant);
    this.#logDenied = logDenied;
    const sorted = [...policies].sort(byName);
    const byNamespace = Map.groupBy(sorted, ({ namespace }) => namespace);
    const tiers = { clusterNetworkPolicies: this.#clusterPolicies, nodes: this.#nodes };
    for (const direction of this.#directions) direction.setPolicies(byNamespace, tiers);
  }

  #exchange({ pods }: PolicyInput): Exchange<PolicyPod> {
    const before = this.#pods;
    this.#pods = pods;
    return exchanged(before, pods);
  }

  #followPods({ nodeName, namespaces }: PolicyInput, { added, removed }: Exchange<PolicyPod>): void {
    for (const pod of removed) {
      this.#index.remove(pod);
      if (pod.nodeName === nodeName) for (const direction of this.#directions) direction.remove(pod);
    }
    for (const pod of added) {
      this.#index.add(pod);
      if (pod.nodeName === nodeName) for (const direction of this.#directions) direction.add(pod);
    }
    if (sameValues(this.#index.namespaces, namespaces)) this.#sets.follow(removed, added);
    else {
      this.#index.namespaces = namespaces;
      this.#sets.refill();
      for (const direction of this.#directions) direction.setNamespaces(namespaces);
    }
  }

  #put(plans: readonly DirectionPlan[]): void {
    if (sameItems(plans, this.#plans)) return;
    this.#plans = plans;
    this.#podSets = [...plans.flatMap(({ sets }) => sets), selfSet(plans, this.#family)];
    this.#isolates = plans.some(({ addresses }) => addresses.length > 0);
  }
}

/** A pod can always reach itself. */
function selfSet(plans: readonly DirectionPlan[], family: Family): NftSet {
  const key = family === 4 ? ("ipv4_addr" as const) : ("ipv6_addr" as const);
  const addresses = new Set(plans.flatMap((plan) => plan.addresses));
  return {
    name: "self",
    key: [key, key],
    interval: false,
    elements: [...addresses].map((ip) => `${ip} . ${ip}`).sort(),
  };
}

/** What is in one list and not in the other. Of ten thousand pods mostly one differs, and its place is found first. */
export function exchanged<T>(before: readonly T[], after: readonly T[]): Exchange<T> {
  if (before === after) return { added: [], removed: [] };
  const shorter = Math.min(before.length, after.length);
  let begin = 0;
  while (begin < shorter && before[begin] === after[begin]) begin++;
  let end = 0;
  while (end < shorter - begin && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  const [old, fresh] = [before.slice(begin, before.length - end), after.slice(begin, after.length - end)];
  const [was, is] = [new Set(old), new Set(fresh)];
  return { added: [...is].filter((item) => !was.has(item)), removed: [...was].filter((item) => !is.has(item)) };
}
