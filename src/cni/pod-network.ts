/**
 * What the CNI server asks of the node: give a network namespace its interface, take it away, say whether it is whole.
 * The agent implements it over the kernel; tests of the CNI server use an in-memory one.
 */
import type { Ip } from "../model/ip.ts";
import type { Mac } from "../model/mac.ts";
import type { Prefix } from "../model/prefix.ts";

/** One interface of one container, with the addresses that IPAM gave it. */
export interface PodAttachment {
  readonly containerId: string;
  /** Name inside the pod: "eth0". */
  readonly ifname: string;
  /** Path of the network namespace, as the runtime gave it: "/run/netns/cni-…". */
  readonly netns: string;
  /** At most one address of each family, IPv4 first. */
  readonly ips: readonly Ip[];
  /** Absent when the runtime did not say (CNI_ARGS without K8S_POD_NAME). */
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid?: string };
}

/** What {@link PodNetwork.attach} made, for the CNI result. */
export interface AttachedPod {
  readonly hostIfname: string;
  readonly hostMac: Mac;
  readonly podMac: Mac;
  /** MTU of both ends of the veth pair, bytes. */
  readonly mtuBytes: number;
}

/** The node side of the CNI server. All errors are BreakwaterErrors that name the object. */
export interface PodNetwork {
  /**
   * Why no pod can be attached now ("node has no pod CIDR yet"), or undefined when one can. A STATUS or ADD while
   * this is set is refused, and the CNI configuration is not on disk.
   */
  notReadyReason(): string | undefined;
  /**
   * Why pods that are attached may not reach everything ("3 of 9 nodes have no route"), or undefined. Asked by STATUS
   * while {@link notReadyReason} is set: the answer is then code 51 instead of 50.
   */
  limitedReason?(): string | undefined;
  /** The pod CIDRs of this node, at most one of each family; empty until the API gave them. */
  podCidrs(): readonly Prefix[];
  /**
   * Makes the veth pair, addresses, routes and neighbours, and returns when traffic can flow. Leaves nothing behind
   * when it throws. Throws BW_CNI_NETNS when the namespace path is none.
   */
  attach(attachment: PodAttachment): Promise<AttachedPod>;
  /**
   * Cuts the pod off at once (nothing is routed to it nor taken from it) and deletes the link in the background.
   * Never fails for something that is already gone. `netns` may be missing or stale.
   */
  detach(
    attachment: Pick<PodAttachment, "containerId" | "ifname"> & {
      readonly netns?: string;
      readonly ips: readonly Ip[];
    },
  ): Promise<void>;
  /** Differences between what attach() made and what is there, one sentence each; empty when whole. */
  check(attachment: PodAttachment): Promise<readonly string[]>;
  /** True when the kernel still holds the host end of this attachment. Used to judge records after a restart. */
  exists(attachment: Pick<PodAttachment, "containerId" | "ifname">): boolean;
  /** True when the kernel of this node already routes this address to some device: it must not be handed out. */
  addressInUse(ip: Ip): boolean;
}

/** What the CNI server asks of the Kubernetes API about the pod that is being attached. */
export interface PodLookup {
  /**
   * The pod's annotations and uid; undefined when the API says there is no such pod. Rejects when the API cannot be
   * asked: the ADD is then refused with "try again later".
   */
  find(
    namespace: string,
    name: string,
  ): Promise<{ readonly uid: string; readonly annotations: Readonly<Record<string, string>> } | undefined>;
}
