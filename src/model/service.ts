/**
 * Services and their endpoints as plans need them: fields of core/v1 Service and discovery.k8s.io/v1 EndpointSlice,
 * parsed and canonical. `src/kube` makes them, `src/plan/services` reads them.
 */
import type { Ip } from "./ip.ts";
import type { Prefix } from "./prefix.ts";

export type ServiceProtocol = "TCP" | "UDP" | "SCTP";
export type TrafficPolicy = "Cluster" | "Local";

export interface ServicePort {
  /** "" for the only port of a Service. */
  readonly name: string;
  readonly protocol: ServiceProtocol;
  /** 1 to 65535. */
  readonly port: number;
  /** Absent where none is allocated (0 in the API). */
  readonly nodePort?: number;
}

export interface ClusterService {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** metadata.creationTimestamp (RFC 3339, UTC): where two Services claim one address, the older one has it. */
  readonly createdAt?: string;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  /** spec.clusterIPs (or clusterIP where that is absent), canonical; empty for a headless Service. */
  readonly clusterIps: readonly Ip[];
  readonly ports: readonly ServicePort[];
  readonly externalIps: readonly Ip[];
  /** status.loadBalancer.ingress[].ip, without those of ipMode Proxy. */
  readonly loadBalancerIps: readonly Ip[];
  /** spec.loadBalancerSourceRanges; undefined where absent or empty: anybody. An empty list here admits nobody. */
  readonly sourceRanges?: readonly Prefix[];
  /** spec.sessionAffinityConfig.clientIP.timeoutSeconds where sessionAffinity is ClientIP. */
  readonly affinitySeconds?: number;
  readonly externalPolicy: TrafficPolicy;
  readonly internalPolicy: TrafficPolicy;
  /** Only of LoadBalancer Services with externalPolicy Local. */
  readonly healthCheckNodePort?: number;
  /**
   * Why no proxy, or not this one, serves it: the label service.kubernetes.io/headless, or the name in
   * service.kubernetes.io/service-proxy-name.
   */
  readonly leftTo?: "headless" | { readonly proxy: string };
  /** What of the object could not be used, a sentence each. */
  readonly problems?: readonly string[];
  /** status.conditions of type {@link PROGRAMMED}. */
  readonly programmed?: { readonly status: string; readonly message: string };
}

/** The condition that says whether all of a Service could be programmed. */
export const PROGRAMMED = "breakwater.dev/Programmed";

export interface SlicePort {
  readonly name: string;
  readonly protocol: ServiceProtocol;
  readonly port: number;
}

/** One endpoint of a slice; its first address stands for it, as for kube-proxy. */
export interface SliceEndpoint {
  readonly address: Ip;
  /** conditions.ready; absent means true. */
  readonly ready: boolean;
  /** conditions.serving; absent means what ready says. */
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly nodeName?: string;
  /** hints.forZones[].name; absent where there are no hints. */
  readonly zoneHints?: readonly string[];
  /** hints.forNodes[].name (KEP-3015). */
  readonly nodeHints?: readonly string[];
}

export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  /** Label kubernetes.io/service-name; slices without it are nobody's and not kept. */
  readonly service: string;
  readonly family: 4 | 6;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** Annotation endpoints.kubernetes.io/last-change-trigger-time (RFC 3339): what network programming latency is from. */
  readonly triggeredAt?: string;
  /** What of the object could not be used, a sentence each. */
  readonly problems?: readonly string[];
}

/** "namespace/name", as views key Services. */
export function serviceKey(service: Pick<ClusterService, "namespace" | "name">): string {
  return `${service.namespace}/${service.name}`;
}
