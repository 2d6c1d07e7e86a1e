/**
 * ClusterNetworkPolicies as plans need them: fields of policy.networking.k8s.io/v1alpha2, parsed and canonical. What could not
 * be understood is closed as the API says: an Accept that matches nothing, a Deny of everything.
 */
import type { PolicyPeer, PolicyPort } from "./policy.ts";
import type { Selector } from "./selector.ts";

export const POLICY_TIERS = ["Admin", "Baseline"] as const;
/** Admin is looked at before NetworkPolicies, Baseline where no NetworkPolicy selects the pod. */
export type PolicyTier = (typeof POLICY_TIERS)[number];

export const TIER_ACTIONS = ["Accept", "Deny", "Pass"] as const;
/** Pass: what is left of the tier is skipped. */
export type TierAction = (typeof TIER_ACTIONS)[number];

/** Nodes by their labels: every address in their status. */
export interface NodesPeer {
  readonly kind: "nodes";
  readonly nodes: Selector;
}

/** Peers of pods name their namespaces; there is no own one. */
export type TierPeer = PolicyPeer | NodesPeer;

export interface TierRule {
  /** What its author calls it; may be empty. */
  readonly name: string;
  readonly action: TierAction;
  /** Undefined: anybody. Empty: nobody. */
  readonly peers?: readonly TierPeer[];
  /** Undefined: all traffic, of any protocol. Empty: none. */
  readonly ports?: readonly PolicyPort[];
}

export interface ClusterNetworkPolicy {
  readonly name: string;
  readonly uid: string;
  /** metadata.generation: which version of the object a status speaks of. */
  readonly generation: number;
  readonly tier: PolicyTier;
  /** 0 to 1000; what has less is looked at first. {@link UNKNOWN_PRIORITY} where it could not be understood. */
  readonly priority: number;
  /** Pods that it is about; those of the host network never. */
  readonly subject: { readonly namespaces: Selector; readonly pods: Selector };
  /** In the order in which they are looked at; the numbers of the object's rules. Empty: nothing is said of the direction. */
  readonly ingress: readonly TierRule[];
  readonly egress: readonly TierRule[];
  /** What of the object could not be understood, a sentence each. */
  readonly problems?: readonly string[];
  /** What agents say in its status; absent: no agent that enforces it has come to it yet. */
  readonly understood?: UnderstoodCondition;
}

/** The condition that says whether all of a policy is understood (metav1.Condition, as far as it is compared). */
export interface UnderstoodCondition {
  readonly status: string;
  readonly message: string;
  /** Of the object that it speaks of. */
  readonly observedGeneration: number;
  /** As the API writes it. */
  readonly lastTransitionTime: string;
}

/** Before every other: a policy that may have any priority only denies. */
export const UNKNOWN_PRIORITY = -1;
export const MAX_PRIORITY = 1000;
/** Type of our condition in the status. */
export const UNDERSTOOD = "breakwater.dev/Understood";

/** The order in which policies of a tier are looked at. The API leaves open which of one priority is first: the name decides. */
export function byPrecedence(a: ClusterNetworkPolicy, b: ClusterNetworkPolicy): number {
  return a.priority - b.priority || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}
