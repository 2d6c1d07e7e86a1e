/** Policies of the cases, in the words of the API. */
import type { Manifest, Protocol } from "./cases.ts";

export type Tier = "Admin" | "Baseline";
export type Action = "Accept" | "Deny" | "Pass";
export type Direction = "ingress" | "egress";

/** All pods of a house's namespace. */
export const ofHouse = (house: string): Manifest => ({
  namespaces: { matchLabels: { "kubernetes.io/metadata.name": house } },
});

export const labelled = (house: string): Manifest => ({ matchLabels: { "conformance-house": house } });
export const named = (pod: string): Manifest => ({ matchLabels: { "statefulset.kubernetes.io/pod-name": pod } });

/** Pods with a house's label, in namespaces with it. */
export const podsOf = (house: string): Manifest => ({
  pods: { namespaceSelector: labelled(house), podSelector: labelled(house) },
});

export const port = (protocol: Protocol, number: number): Manifest => ({
  [protocol.toLowerCase()]: { destinationPort: { number } },
});
export const ports = (protocol: Protocol, start: number, end: number): Manifest => ({
  [protocol.toLowerCase()]: { destinationPort: { range: { start, end } } },
});

/** A rule that knows no direction yet. */
export interface Rule {
  readonly action: Action;
  readonly peers: readonly Manifest[];
  readonly protocols?: readonly Manifest[];
}

export function rule(action: Action, peers: Manifest | readonly Manifest[], ...protocols: readonly Manifest[]): Rule {
  const list = Array.isArray(peers) ? peers : [peers as Manifest];
  return { action, peers: list, ...(protocols.length === 0 ? {} : { protocols }) };
}

export interface ClusterPolicy {
  readonly name: string;
  readonly tier: Tier;
  readonly priority: number;
  readonly subject: Manifest;
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}

export function clusterPolicy({ name, tier, priority, subject, ingress, egress }: ClusterPolicy): Manifest {
  const inWords = (rules: readonly Rule[], field: "from" | "to") =>
    rules.map(({ action, peers, protocols }) => ({ action, [field]: peers, ...(protocols && { protocols }) }));
  return {
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata: { name },
    spec: {
      ...{ tier, priority, subject },
      ...(ingress && { ingress: inWords(ingress, "from") }),
      ...(egress && { egress: inWords(egress, "to") }),
    },
  };
}

export function networkPolicy(namespace: string, name: string, spec: object): Manifest {
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { namespace, name }, spec };
}
