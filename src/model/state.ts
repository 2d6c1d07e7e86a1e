/**
 * What a node should look like ({@link DesiredState}), what it was given to decide that ({@link NodeFacts}), and the
 * steps from here to there ({@link Operation}). Devices are named, not numbered: a plan is made before they exist.
 */
import type { Ip } from "./ip.ts";
import type { Mac } from "./mac.ts";
import type { NftTable } from "./nft.ts";
import type { Prefix } from "./prefix.ts";

/** A network interface of the node that is not ours, as far as plans care. */
export interface NodeInterface {
  readonly name: string;
  readonly index: number;
  readonly mtuBytes: number;
  readonly up: boolean;
  /** "veth", "bond"; absent for hardware. */
  readonly kind?: string;
  /** Whether it joins received segments (GRO); absent where nobody asked, or the kernel cannot say. */
  readonly receiveOffload?: boolean;
  readonly addresses: readonly { readonly address: Ip; readonly length: number }[];
}

/** What the node's kernel says about the node itself. */
export interface NodeFacts {
  readonly nodeName: string;
  readonly interfaces: readonly NodeInterface[];
  /** Whether the kernel has flowtables; absent where nobody asked. */
  readonly flowtables?: boolean;
  /** Whether net.ipv4.conf.all.rp_filter is 1: then it is strict for every device that is not loose itself. */
  readonly strictReversePath?: boolean;
}

/** A pod interface that the CNI server gave away. */
export interface LocalPod {
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string;
  readonly ips: readonly Ip[];
  /** "namespace/name", or the container's id where the runtime did not say. */
  readonly name: string;
}

export interface DesiredVxlan {
  readonly name: string;
  readonly mac: Mac;
  readonly mtuBytes: number;
  readonly vni: number;
  readonly port: number;
  readonly local: Ip;
  readonly underlay: string;
  readonly underlayIndex: number;
}

export interface DesiredPod extends LocalPod {
  readonly hostIfname: string;
  readonly podMac: Mac;
  readonly mtuBytes: number;
}

export interface DesiredAddress {
  readonly device: string;
  readonly address: Ip;
  readonly length: number;
  readonly cause: string;
}

export interface DesiredRoute {
  readonly destination: Prefix;
  /** A packet that no longer prefix leads anywhere ends here, and its sender hears so. @default "unicast" */
  readonly type?: "unreachable";
  readonly gateway?: Ip;
  /** Of one that is unreachable: the loopback device. */
  readonly device: string;
  readonly onlink: boolean;
  /** RTAX_MTU; absent when the device's MTU is right. */
  readonly mtuBytes?: number;
  readonly cause: string;
}

export interface DesiredNeighbour {
  readonly device: string;
  readonly ip: Ip;
  readonly mac: Mac;
  readonly cause: string;
}

export interface DesiredFdbEntry {
  readonly device: string;
  readonly mac: Mac;
  readonly destination: Ip;
  readonly cause: string;
}

export interface DesiredSysctl {
  readonly name: string;
  readonly value: string;
  /** Values that do as well: one of these is left as it is. */
  readonly alsoFine?: readonly string[];
  /** A kernel without it needs nothing. */
  readonly ifThere?: true;
  readonly cause: string;
}

/** A feature (offload) of one of our devices, by the kernel's name: see src/kernel/genetlink/ethtool.ts. */
export interface DesiredFeature {
  readonly device: string;
  readonly name: string;
  readonly on: boolean;
  readonly cause: string;
}

/** The way to one peer node. */
export interface PlannedPath {
  readonly node: string;
  /** bgp: the way is the underlay's, and BIRD makes the routes. none: there is no way. */
  readonly mode: "direct" | "vxlan" | "bgp" | "none";
  readonly podCidrs: readonly Prefix[];
  /** Where packets for the peer's pods leave to. */
  readonly peer: Ip;
  readonly device: string;
  readonly underlayMtuBytes: number;
  readonly overheadBytes: number;
  /** The largest packet that fits: min(underlay - overhead, proven). */
  readonly mtuBytes: number;
}

/** Something that keeps a part of the plan from being made; becomes a status, a metric and a log line. */
export interface Problem {
  readonly code: string;
  readonly object: string;
  readonly message: string;
  readonly remedy: string;
}

export interface DesiredState {
  /** This node's own pod CIDRs that are in force. */
  readonly podCidrs: readonly Prefix[];
  readonly vxlan: DesiredVxlan | undefined;
  readonly features: readonly DesiredFeature[];
  readonly addresses: readonly DesiredAddress[];
  readonly routes: readonly DesiredRoute[];
  readonly neighbours: readonly DesiredNeighbour[];
  readonly fdb: readonly DesiredFdbEntry[];
  readonly pods: readonly DesiredPod[];
  /**
   * Host ends of pods that nobody remembers, but that must not be touched: they, their routes and neighbours stay as they
   * are. Set when the journal of pod addresses was lost under running pods; absent otherwise.
   */
  readonly strangers?: readonly string[];
  readonly sysctls: readonly DesiredSysctl[];
  readonly nft: NftTable;
  readonly paths: readonly PlannedPath[];
  /** MTU of every pod's device, bytes. */
  readonly podMtuBytes: number;
  readonly problems: readonly Problem[];
}
