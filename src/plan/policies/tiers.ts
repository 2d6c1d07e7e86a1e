/** ClusterNetworkPolicies of a pod: which are about it, in the order in which they are looked at. */

import type { Labels } from "../../model/cluster.ts";
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
  /** Of the whole cluster. */
  readonly nodes?: readonly PolicyNode[] | undefined;
}

export interface PolicyNode {
  readonly labels: Labels;
  /** status.addresses, of any type that is an address. */
  readonly ips: readonly Ip[];
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
  cluster: ClusterPods,
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

export function addressesOfNodes(selector: Selector, nodes: readonly PolicyNode[]): Ip[] {
  return nodes.flatMap(({ labels, ips }) => (matchesSelector(selector, labels) ? ips : []));
}
