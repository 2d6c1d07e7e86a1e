/**
 * How Breakwater knows its own objects in the kernel. Only objects with these marks are ever changed or deleted.
 */

/** rtm_protocol of our routes. 98 is unassigned in include/uapi/linux/rtnetlink.h and iproute2's rt_protos. */
export const ROUTE_PROTOCOL = 98;
/** rtm_protocol of routes that BIRD makes: RTPROT_BIRD of include/uapi/linux/rtnetlink.h. */
export const BIRD_PROTOCOL = 12;
/** Metric of the routes that our BIRD makes: with the protocol it tells them from those of another BIRD. */
export const BGP_METRIC = 9800;
export const VXLAN_DEVICE = "bwvxlan";
/** The dummy device that has the addresses of Services where IPVS serves them. */
export const IPVS_DEVICE = "bwipvs0";
/** Generic receive offload (NETIF_F_GRO) in the kernel's words: netdev_features_strings of net/ethtool/common.c. */
export const RECEIVE_OFFLOAD = "rx-gro";
/**
 * Host ends of pods: prefix and 11 hexadecimal digits, 14 of the kernel's 15 characters. Not "bwp": so the bandwidth
 * plugin of the CNI project names its ifb devices.
 */
export const POD_LINK_PREFIX = "bwh";
const POD_LINK = /^bwh[0-9a-f]{11}$/;

/** True for the names that our links have. */
export function isOurLink(name: string): boolean {
  return name === VXLAN_DEVICE || name === IPVS_DEVICE || POD_LINK.test(name);
}

/** True for the names that host ends of pods have. */
export function isPodLink(name: string): boolean {
  return POD_LINK.test(name);
}

/** Priorities of our ip rules, both included. */
export const RULE_PRIORITIES = { first: 9800, last: 9899 } as const;
export const NFT_TABLE = { family: "inet", name: "breakwater" } as const;
/** Chains, sets and flowtables of {@link NFT_TABLE} that the node can do without. */
export function isFastPathName(name: string): boolean {
  return name.startsWith("fast");
}
/** Tables of Services, one a family: a packet of the other family never passes them. */
export const SERVICE_TABLES = {
  4: { family: "ip", name: "breakwater" },
  6: { family: "ip6", name: "breakwater" },
} as const;
/** Tables of NetworkPolicies, one a family. */
export const POLICY_TABLES = {
  4: { family: "ip", name: "breakwater-policy" },
  6: { family: "ip6", name: "breakwater-policy" },
} as const;
/** Group of nflog to which denied packets are logged; each network namespace has its own groups. */
export const NFLOG_GROUP = 8474;
/** Links that wait for deletion carry this IFLA_GROUP ("bw" + 1 in hexadecimal: 0x6277_0001). */
export const DOOMED_GROUP = 0x62770001;

/** Next hops of a pod's default routes. Nobody has these addresses: permanent neighbour entries answer for them. */
export const POD_GATEWAY = { 4: "169.254.1.1", 6: "fe80::1" } as const;
/** MAC of every pod's host end. Each veth is a link of its own, so one address serves all. */
export const HOST_END_MAC = "02:62:77:67:77:01";
/** MAC of a host end whose pod is gone: nobody sends to it. */
export const GIVEN_UP_MAC = "02:62:77:67:77:ff";
/** IFLA defaults and RFC 7348: the VXLAN port that IANA assigned. */
export const DEFAULT_VXLAN_PORT = 4789;
export const DEFAULT_VNI = 4098;
/**
 * What all tunnels have in common. Source ports are of the range that RFC 7348 (section 5) recommends, and few: each is a flow
 * to connection tracking, and with the kernel's 28,000 nearly every connection of a pod would open one of its own at both
 * nodes. Receive queues and equal-cost paths are fewer still. See docs/adr/0006-tunnel-offloads.md.
 */
export const TUNNEL = {
  learning: false,
  udpChecksum: false,
  sourcePorts: { first: 49_152, last: 49_407 },
} as const;
/** UDP port of the probes between agents (docs/design/mtu.md); no service has it at IANA. */
export const DEFAULT_PROBE_PORT = 8474;
