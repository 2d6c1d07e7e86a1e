/** The settings of a node that plans depend on. The command line and the lab both make these; plans only read them. */
import type { IpvsScheduler } from "./ipvs.ts";
import type { KubeProxyMode } from "./kube-proxy.ts";
import type { Prefix } from "./prefix.ts";

/** cut: their conntrack entries are deleted, and what follows of them is dropped. keep: they go on until they end. */
export type ForbiddenConnections = "cut" | "keep";

/** bgp: BIRD makes the routes between nodes (docs/design/bgp.md). */
export type RoutingMode = "auto" | "direct" | "vxlan" | "bgp";
export const ROUTING_MODES: readonly RoutingMode[] = ["auto", "direct", "vxlan", "bgp"];

export interface NodeConfig {
  readonly nodeName: string;
  readonly routing: RoutingMode;
  readonly vni: number;
  readonly vxlanPort: number;
  /** Source NAT for pod traffic that leaves the cluster. */
  readonly masquerade: boolean;
  /** Destinations that pods reach with their own address, beside every node's pod CIDR. */
  readonly masqueradeExceptions: readonly Prefix[];
  /** Upper limit of the pods' MTU, bytes; the plan decides alone when absent. */
  readonly mtuBytes?: number;
  /** UDP port on which agents probe each other's paths; 0 or absent: the MTU is planned, not proven. */
  readonly probePort?: number;
  /** Established connections of pods take the kernel's fast path, where it has one. */
  readonly flowtable?: boolean;
  /** NetworkPolicies are enforced on this node's pods. */
  readonly networkPolicy?: boolean;
  /** ClusterNetworkPolicies are enforced, too. */
  readonly clusterNetworkPolicies?: boolean;
  /** This agent may be the one that gives LoadBalancer Services their addresses. */
  readonly loadBalancer?: boolean;
  /** Lines a second of the log that tell of packets that policies denied; absent: none. */
  readonly logDenied?: number;
  /** What becomes of established connections that a new policy forbids. @default "cut" */
  readonly forbiddenConnections?: ForbiddenConnections;
  /** Absent: Services are left to another proxy. */
  readonly services?: ServiceConfig;
  /** What is to become of a kube-proxy's state; absent: it is left, and told of. */
  readonly kubeProxy?: KubeProxyMode;
}

export interface ServiceConfig {
  /** NodePorts answer on the node's addresses inside these; empty: on its InternalIPs. */
  readonly nodePortAddresses: readonly Prefix[];
  /** Addresses of Services are from these: one that no Service has is dropped. Empty: not known. */
  readonly serviceCidrs: readonly Prefix[];
  /** Drops what connection tracking finds invalid on its way through the node. */
  readonly dropInvalid: boolean;
  /** Counts new connections of each frontend. */
  readonly counters: boolean;
  /** Behind the rules, IPVS balances; absent: the maps of nftables do. */
  readonly ipvs?: IpvsConfig;
}

/** Whether IPVS may serve Services on the node: ours, or another proxy's of which nothing is known. */
export function mayUseIpvs({ services }: Pick<NodeConfig, "services">): boolean {
  return services === undefined || services.ipvs !== undefined;
}

export interface IpvsConfig {
  readonly scheduler: IpvsScheduler;
  /** How long connections to an endpoint that is gone are waited for at most. */
  readonly drainSeconds: number;
  /** Virtual servers that somebody else made for a Service's address become ours: they are kube-proxy's. @default false */
  readonly adopt?: boolean;
}

export const DEFAULT_SERVICE_CONFIG: ServiceConfig = {
  nodePortAddresses: [],
  serviceCidrs: [],
  dropInvalid: true,
  counters: false,
};
