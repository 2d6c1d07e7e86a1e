/** What the tables of policies are planned from. */
import type { ClusterPolicy, PolicyDirection, PolicyPod } from "../../model/policy.ts";
import { matchesSelector } from "../../model/selector.ts";
import type { DeniedLog } from "./chains.ts";
import type { ClusterPods } from "./peers.ts";
import type { PolicyTiers } from "./tiers.ts";

export interface PolicyInput extends ClusterPods, PolicyTiers {
  readonly nodeName: string;
  readonly policies: readonly ClusterPolicy[];
  /** Absent: what is denied is counted, and not logged. */
  readonly logDenied?: DeniedLog | undefined;
}

/** Whether the policy speaks of the pod in this direction. */
export function selects(policy: ClusterPolicy, pod: PolicyPod, direction: PolicyDirection): boolean {
  return (
    policy[direction] !== undefined && policy.namespace === pod.namespace && matchesSelector(policy.pods, pod.labels)
  );
}
