/**
 * What decides which addresses a Service of type LoadBalancer has: pools (breakwater.dev/v1alpha1 LoadBalancerPool) and the
 * wishes of Services, parsed and canonical. docs/design/load-balancer.md says what is promised.
 */
import type { Labels } from "./cluster.ts";
import type { Family, Ip } from "./ip.ts";
import type { Selector } from "./selector.ts";
import type { ServiceProtocol, TrafficPolicy } from "./service.ts";

/** spec.loadBalancerClass that is ours; a Service without a class is ours, too. */
export const LOAD_BALANCER_CLASS = "breakwater.dev/bgp";

/** Annotations of a Service. */
export const LOAD_BALANCER_IPS = "breakwater.dev/load-balancer-ips";
export const LOAD_BALANCER_POOL = "breakwater.dev/load-balancer-pool";
export const ALLOW_SHARED_IP = "breakwater.dev/allow-shared-ip";

/** Both ends included, of one family, first <= last. */
export interface AddressRange {
  readonly first: Ip;
  readonly last: Ip;
}

export interface AddressPool {
  readonly name: string;
  readonly uid: string;
  /** metadata.generation: which version of the object a status speaks of. */
  readonly generation: number;
  /** In the object's order, which is the order in which they are given out. */
  readonly ranges: readonly AddressRange[];
  /** Services get addresses from it that ask for none; otherwise only those that name the pool or the address. */
  readonly autoAssign: boolean;
  /** IPv4 addresses that end with .0 and .255 are left out: some old networks take them for broadcasts. */
  readonly avoidBuggyIps: boolean;
  /** Namespaces whose Services may have its addresses; absent: all. */
  readonly namespaces?: Selector;
  /** Services that may; absent: all. */
  readonly services?: Selector;
  /** What of the object could not be used, a sentence each. */
  readonly problems?: readonly string[];
  /** What its status says now. */
  readonly status?: PoolStatus;
}

/** status of a LoadBalancerPool. */
export interface PoolStatus {
  readonly assigned: Readonly<Record<PoolFamily, number>>;
  readonly available: Readonly<Record<PoolFamily, number>>;
  /** Message of the condition {@link POOL_USABLE}, with the generation that it speaks of, and its status. */
  readonly usable?: {
    readonly status: string;
    readonly message: string;
    readonly observedGeneration: number;
    readonly lastTransitionTime: string;
  };
}

export type PoolFamily = "ipv4" | "ipv6";
export const POOL_FAMILIES: Readonly<Record<Family, PoolFamily>> = { 4: "ipv4", 6: "ipv6" };

/** Type of the condition of a pool: whether all of it is understood, and nothing overlaps. */
export const POOL_USABLE = "Usable";

/** A Service as the allocator sees it. */
export interface BalancedService {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** metadata.creationTimestamp (RFC 3339, UTC): the older one is right. */
  readonly createdAt?: string;
  readonly labels: Labels;
  /** It is of type LoadBalancer, of our class or of none, and nobody else gave it a name as its balancer. */
  readonly isOurs: boolean;
  /** spec.ipFamilies, in their order. */
  readonly families: readonly Family[];
  /** spec.ipFamilyPolicy RequireDualStack: one family alone is not enough. */
  readonly needsAllFamilies: boolean;
  readonly ports: readonly { readonly protocol: ServiceProtocol; readonly port: number }[];
  /** spec.selector, equal selectors equal texts. */
  readonly selector: string;
  readonly externalPolicy: TrafficPolicy;
  /** spec.loadBalancerIP or the annotation; empty: any. At most one of a family. */
  readonly wantedIps: readonly Ip[];
  /** Name of the pool that it asks for; "" for any. */
  readonly wantedPool: string;
  /** Services with the same key may have one address; "" shares with nobody. */
  readonly sharingKey: string;
  /** status.loadBalancer.ingress[].ip, canonical. */
  readonly held: readonly Ip[];
  /** What of its wishes could not be understood, a sentence each: it is given nothing new. */
  readonly problems: readonly string[];
}
