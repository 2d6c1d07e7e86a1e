/**
 * Where a Service answers on one node: an address, a protocol and a port, and the endpoints behind them. Frontends are
 * what `src/plan/services` makes of Services and EndpointSlices, and all that the data path knows of them.
 */
import type { Family, Ip } from "./ip.ts";
import type { Prefix } from "./prefix.ts";

/** `ADDRESS . PORT` of an endpoint, as elements of nftables maps have it. */
export type EndpointText = string;

export interface Frontend {
  /** `10.96.0.1 . tcp . 80`: tells frontends apart, and is their key in every map. */
  readonly key: string;
  readonly family: Family;
  readonly address: Ip;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
  readonly kind: "ClusterIP" | "NodePort" | "ExternalIP" | "LoadBalancer";
  /** `default/web:http`. */
  readonly service: string;
  /** Where traffic goes: all of it, or with {@link outside} that of this node and its pods. Sorted, each once. */
  readonly endpoints: readonly EndpointText[];
  /** Where traffic from outside goes under externalTrafficPolicy Local; none: it is dropped. */
  readonly outside?: readonly EndpointText[];
  /** What traffic gets while {@link endpoints} is empty. */
  readonly otherwise: "reject" | "drop";
  /** Whether traffic that does not come from a pod of this node keeps its source address. */
  readonly keepsSource: boolean;
  readonly affinitySeconds?: number;
  /**
   * {@link endpoints} are behind a virtual server of IPVS, not in maps; `bind`: the address has to be on our device. Absent: the
   * maps of nftables lead there.
   */
  readonly ipvs?: { readonly bind: boolean };
  /** Sources that are let in; undefined: all of them. Sorted. */
  readonly sourceRanges?: readonly Prefix[];
}

/** All that one Service is on a node. */
export interface ServicePlan {
  /** `namespace/name`. */
  readonly key: string;
  readonly createdAt: string;
  readonly clusterIps: readonly Ip[];
  readonly frontends: readonly Frontend[];
  /** Addresses of its endpoints on this node, which may reach themselves through it. */
  readonly localAddresses: readonly Ip[];
  readonly healthCheck?: { readonly port: number; readonly localEndpoints: number };
  /** What of it cannot be served, a sentence each, sorted. */
  readonly problems: readonly string[];
}
