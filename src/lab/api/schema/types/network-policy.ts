/**
 * NetworkPolicy. An empty list and an absent one mean different things here; nothing of them is required.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const NETWORK_POLICY_TYPES: TypePackage = {
  prefix: "io.k8s.api.networking.v1",
  types: `
NetworkPolicy apiVersion:string kind:string metadata#1:ObjectMeta spec#2:NetworkPolicySpec
NetworkPolicySpec egress#3:[NetworkPolicyEgressRule] ingress#2:[NetworkPolicyIngressRule]
  podSelector#1:LabelSelector policyTypes#4:[string]
NetworkPolicyEgressRule ports#1:[NetworkPolicyPort] to#2:[NetworkPolicyPeer]
NetworkPolicyPort endPort#3:int port#2:intstr protocol#1:string
NetworkPolicyPeer ipBlock#3:IPBlock namespaceSelector#2:LabelSelector podSelector#1:LabelSelector
IPBlock cidr#1!:string except#2:[string]
NetworkPolicyIngressRule from#2:[NetworkPolicyPeer] ports#1:[NetworkPolicyPort]
`,
};
