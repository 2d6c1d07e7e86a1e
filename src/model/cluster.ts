/**
 * The cluster as the agent sees it: the few fields of Kubernetes objects that plans depend on, parsed and canonical.
 * `src/kube` makes these from API objects; `src/plan` reads nothing else of the cluster.
 */
import type { Ip } from "./ip.ts";
import type { RoutingMode } from "./node-config.ts";
import type { Prefix } from "./prefix.ts";

export type Labels = Readonly<Record<string, string>>;

export interface ClusterNode {
  readonly name: string;
  /** metadata.creationTimestamp (RFC 3339, UTC): where nodes quarrel, the older one is right. */
  readonly createdAt?: string;
  /** status.addresses of type InternalIP, in the object's order, canonical. */
  readonly internalIps: readonly Ip[];
  /** The same of type ExternalIP; absent when there is none. */
  readonly externalIps?: readonly Ip[];
  /** spec.podCIDRs (or podCIDR where that is absent), canonical, in the object's order. */
  readonly podCidrs: readonly Prefix[];
  readonly labels: Labels;
  /** How its agent makes routes (annotation {@link ROUTING_ANNOTATION}); absent: nobody said, and it is taken for ours. */
  readonly routing?: RoutingMode;
}

/** Written by each agent on its own Node, so that the others know what they can use towards it. */
export const ROUTING_ANNOTATION = "breakwater.dev/routing";

export interface ClusterPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Empty until the scheduler bound it. */
  readonly nodeName: string;
  readonly hostNetwork: boolean;
  readonly phase: string;
  readonly podIps: readonly Ip[];
  readonly labels: Labels;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ClusterNamespace {
  readonly name: string;
  readonly labels: Labels;
}

/** A complete, consistent view: each map is the last known list of its kind. Keys: name, or "namespace/name". */
export interface ClusterView {
  readonly nodes: ReadonlyMap<string, ClusterNode>;
  /** Pods of this node only. */
  readonly pods: ReadonlyMap<string, ClusterPod>;
  readonly namespaces: ReadonlyMap<string, ClusterNamespace>;
}
