/**
 * Native routing by BGP, as values: what the operator asks for (peers, settings of the cluster), the sessions that one node
 * is to have, and what its BIRD says of them. `src/kube` parses the first from API objects, `src/plan/bgp` makes the second,
 * `src/agent/bgp` reads the third. Numbers and defaults are those of RFC 4271 and BIRD 2.
 */
import type { Family, Ip } from "./ip.ts";
import type { Prefix } from "./prefix.ts";
import type { Selector } from "./selector.ts";
import type { Problem } from "./state.ts";

/** RFC 6996: the first AS number for private use of 16 bits. */
export const DEFAULT_AS_NUMBER = 64512;
/** AS numbers are 1 to this (RFC 6793); 0 is no AS (RFC 7607), the last one is reserved (RFC 7300). */
export const LARGEST_AS_NUMBER = 0xffff_fffe;
/** RFC 6793, section 9: stands for a number of 32 bits where only 16 fit; nobody has it. */
export const AS_TRANS = 23456;
/** TCP port of BGP. */
export const BGP_PORT = 179;
/** Hops that a session may take, and the largest distance of TTL security (RFC 5082). */
export const MOST_HOPS = 255;
/** Prefixes that are taken from a peer that names no other limit. */
export const DEFAULT_MAX_PREFIXES = 10_000;
/** How long peers keep the routes of a BGP daemon that restarts, seconds (RFC 4724). */
export const DEFAULT_RESTART_SECONDS = 120;
/** RFC 4724 gives the restart time 12 bits. */
export const LARGEST_RESTART_SECONDS = 4095;
/** Bytes of a TCP MD5 key (TCP_MD5SIG_MAXKEYLEN of linux/tcp.h). */
export const LONGEST_PASSWORD_BYTES = 80;

/** RFC 1997: two numbers of 16 bits. RFC 8092: three of 32. */
export type BgpCommunity = readonly [number, number] | readonly [number, number, number];

/** A key of a Secret in the agent's own namespace, unless another is named. */
export interface SecretKey {
  readonly namespace?: string;
  readonly name: string;
  readonly key: string;
}

/** A router, or any other BGP speaker, that some nodes have a session with (BGPPeer). */
export interface BgpPeerSpec {
  /** metadata.name. */
  readonly name: string;
  readonly address: Ip;
  readonly asNumber: number;
  /** @default 179 */
  readonly port?: number;
  /** Our AS number towards this peer. @default the cluster's */
  readonly localAsNumber?: number;
  /** Nodes that have a session with it; an empty selector: all. */
  readonly nodes: Selector;
  /** TCP MD5 (RFC 2385). */
  readonly passwordSecret?: SecretKey;
  /** Hops to the peer, 2 to 255; absent: it is on a subnet of the node. */
  readonly multihop?: number;
  /** Bidirectional Forwarding Detection (RFC 5880). @default false */
  readonly bfd?: boolean;
  /** Seconds that routes stay while either side restarts; 0: no graceful restart. @default 120 */
  readonly gracefulRestart?: number;
  /** Packets that came farther than the peer's distance are dropped (RFC 5082). @default false */
  readonly ttlSecurity?: boolean;
  /** Taken from it beside pod CIDRs of the cluster: these prefixes and those inside. Never a default route. */
  readonly importAllow: readonly Prefix[];
  /** Passed on to it beside the node's own pod CIDRs and Service addresses: these and those inside, if learned by BGP. */
  readonly exportAllow: readonly Prefix[];
  /** More are not taken. @default 10000 */
  readonly maxPrefixes?: number;
  /** LOCAL_PREF of what is learned from it; the largest wins. @default 100 */
  readonly localPreference?: number;
  /** Set on what is announced to it, beside those of the cluster. */
  readonly communities?: readonly BgpCommunity[];
  /** Times that our own AS may be in a path that it sends: racks of one AS behind a fabric need 1. @default 0 */
  readonly allowOwnAs?: number;
}

/** Settings of all nodes (BGPConfiguration). */
export interface BgpClusterConfig {
  readonly asNumber: number;
  /** Every node has a session with every other one. */
  readonly nodeMesh: boolean;
  /** Nodes that pass on routes between the others, which then have sessions with these alone. Absent: no such node. */
  readonly routeReflectors?: Selector;
  /** Set on all that is announced to peers, not on what nodes tell each other. */
  readonly communities: readonly BgpCommunity[];
  /** LOCAL_PREF of what nodes announce inside their AS. @default 100 */
  readonly localPreference?: number;
  /** Service addresses that are announced to peers. */
  readonly advertise: {
    readonly clusterIPs: boolean;
    readonly externalIPs: boolean;
    readonly loadBalancerIPs: boolean;
    /** Only addresses inside these; absent: all, but no external IP, which whoever writes a Service chooses. */
    readonly within?: readonly Prefix[];
  };
  /** TCP port on which nodes listen, and reach each other. */
  readonly listenPort: number;
  /** Nodes watch each other by BFD (RFC 5880): silence ends a session within a second, and so does a restart of BIRD. */
  readonly nodeMeshBfd: boolean;
}

export const DEFAULT_BGP_CONFIG: BgpClusterConfig = {
  asNumber: DEFAULT_AS_NUMBER,
  nodeMesh: true,
  communities: [],
  advertise: { clusterIPs: false, externalIPs: false, loadBalancerIPs: false },
  listenPort: BGP_PORT,
  nodeMeshBfd: false,
};

/** Prefixes that a filter lets through. */
export interface BgpFilter {
  /** Pod CIDRs of nodes whose routes BGP brings: {@link BgpPlan.otherPodCidrs}. */
  readonly pods: boolean;
  /** These as they are. */
  readonly exact: readonly Prefix[];
  /** These, and those inside. */
  readonly within: readonly Prefix[];
}

/** One session of a node, with everything worked out. */
export interface BgpSession {
  /** What BIRD calls it. */
  readonly protocol: string;
  readonly kind: "node" | "peer";
  /** Name of the Node or BGPPeer. */
  readonly peer: string;
  readonly address: Ip;
  readonly asNumber: number;
  readonly port: number;
  readonly local: Ip;
  readonly localAsNumber: number;
  readonly localPort: number;
  /** Families whose routes are exchanged, each with our address that peers are to send to. */
  readonly nextHops: readonly { readonly family: Family; readonly address: Ip }[];
  readonly multihop?: number;
  readonly ttlSecurity: boolean;
  readonly bfd: boolean;
  readonly password?: string;
  /** Seconds; 0: none. */
  readonly restartSeconds: number;
  /** We pass on to it what others of our AS told us. */
  readonly reflectorClient: boolean;
  readonly import: BgpFilter;
  /** Prefixes of a family that are taken at most. */
  readonly importLimit: number;
  readonly localPreference?: number;
  /** What is passed on of what BGP taught us; the node's own prefixes always are announced. */
  readonly export: BgpFilter;
  readonly communities: readonly BgpCommunity[];
  /** LOCAL_PREF of what we announce, inside our AS. */
  readonly announcedPreference?: number;
  readonly allowOwnAs: number;
}

/** What BIRD is to do on a node. */
export interface BgpPlan {
  readonly nodeName: string;
  readonly routerId: Ip;
  /** The node's own pod CIDRs, announced as they are; in the kernel each is "unreachable" behind its pods' routes. */
  readonly podCidrs: readonly Prefix[];
  /** Service addresses that the node announces to peers, sorted; absent where no kind of them is to be announced. */
  readonly serviceAddresses?: readonly Prefix[];
  /** Of other nodes whose routes BGP is to bring. */
  readonly otherPodCidrs: readonly Prefix[];
  /** Of other nodes to which this one has routes of its own: nobody brings these, nor anything inside. */
  readonly keptPodCidrs: readonly Prefix[];
  /** Prefixes whose routes carry an MTU (RTAX_MTU), bytes: the proven path is narrower than the device. */
  readonly narrow: readonly { readonly mtuBytes: number; readonly prefixes: readonly Prefix[] }[];
  /** Sorted by protocol. */
  readonly sessions: readonly BgpSession[];
  readonly problems: readonly Problem[];
}
