/** ClusterNetworkPolicies of a pod: which are about it, in the order in which they are looked at. */

import type { ClusterNode } from "../../model/cluster.ts";
import {
  byPrecedence,
  type ClusterNetworkPolicy,
  type PolicyTier,
  type TierRule,
} from "../../model/cluster-network-policy.ts";
import type { Ip } from "../../model/ip.ts";
import type { PolicyPod } from "../../model/policy.ts";
import { matchesSelector, type Selector } from "../../model/selector.ts";
import { type ClusterPods, isSelected } from "./peers.ts";

export interface PolicyTiers {
  /** Absent: they are not enforced. */
  readonly clusterNetworkPolicies?: readonly ClusterNetworkPolicy[] | undefined;
  /** Of the whole cluster, by name: peers may be some of them. */
  readonly nodes?: ReadonlyMap<string, ClusterNode> | undefined;
}

/** A rule, and where it stands. */
export interface PlacedRule {
  readonly policy: ClusterNetworkPolicy;
  /** From 1, as the object has them. */
  readonly number: number;
  readonly rule: TierRule;
}

/** Policies that say something of the pod in this direction, both tiers, each in its order. */
export function policiesAbout(
  pod: PolicyPod,
  direction: "ingress" | "egress",
  policies: readonly ClusterNetworkPolicy[],
  cluster: Pick<ClusterPods, "namespaces">,
): ClusterNetworkPolicy[] {
  return policies
    .filter((policy) => policy[direction].length > 0 && isSelected(policy.subject, pod, cluster))
    .sort(byPrecedence);
}

/** Rules of one tier, in the order in which they are looked at. */
export function rulesOfTier(
  tier: PolicyTier,
  direction: "ingress" | "egress",
  policies: readonly ClusterNetworkPolicy[],
): PlacedRule[] {
  return policies
    .filter((policy) => policy.tier === tier)
    .flatMap((policy) => policy[direction].map((rule, i) => ({ policy, number: i + 1, rule })));
}

/** Every address of the nodes that are selected. */
export function addressesOfNodes(selector: Selector, nodes: PolicyTiers["nodes"]): Ip[] {
  const found: Ip[] = [];
  for (const { labels, internalIps, externalIps = [] } of nodes?.values() ?? []) {
    if (matchesSelector(selector, labels)) found.push(...internalIps, ...externalIps);
  }
  return found;
}

/** Whether addresses of nodes matter to any of these. */
export function speakOfNodes(policies: readonly ClusterNetworkPolicy[]): boolean {
  return policies.some(({ egress }) => egress.some(({ peers = [] }) => peers.some(({ kind }) => kind === "nodes")));
}
