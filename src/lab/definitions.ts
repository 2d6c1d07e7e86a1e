/** CustomResourceDefinitions that a lab's API has from the start. */
import { CLUSTER_NETWORK_POLICY_CRD } from "../kube/cluster-network-policy-crd.ts";
import { OWN_CRDS } from "../kube/own-crds.ts";
import type { NewObject } from "./api/store.ts";
import type { LabOptions } from "./topology.ts";

export function definitionsFor({ clusterNetworkPolicies, loadBalancer, routing }: LabOptions): readonly NewObject[] {
  return [
    ...(clusterNetworkPolicies === true ? [CLUSTER_NETWORK_POLICY_CRD] : []),
    ...(loadBalancer === true || routing === "bgp" ? OWN_CRDS : []),
  ];
}
