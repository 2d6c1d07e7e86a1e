/**
 * Says in the status of a ClusterNetworkPolicy that it is enforced and understood, or what of it is not, and therefore closed.
 */
import { clusterNetworkPolicies } from "../../kube/resource.ts";
import { type ClusterNetworkPolicy, UNDERSTOOD } from "../../model/cluster-network-policy.ts";
import { UnderstoodStatus, type UnderstoodStatusOptions } from "../understood-status.ts";

export interface ClusterPolicyStatusOptions
  extends Pick<UnderstoodStatusOptions, "client" | "clock" | "log" | "wallClock"> {
  /** By name, as they are now. */
  readonly policies: () => ReadonlyMap<string, ClusterNetworkPolicy>;
}

export class ClusterPolicyStatus extends UnderstoodStatus {
  constructor({ policies, ...options }: ClusterPolicyStatusOptions) {
    super({
      ...options,
      resource: clusterNetworkPolicies,
      kind: "ClusterNetworkPolicy",
      type: UNDERSTOOD,
      good: "all of the policy is understood, and enforced",
      objects: policies,
    });
  }
}
