/**
 * Every kernel module that Breakwater's modes use: what for, the kernel's own option for it (net/netfilter/Kconfig,
 * drivers/net/Kconfig), and what fails without it. Modules that these depend on are not named: modules.dep knows them.
 */
import type { HostFeature, ModuleNeed } from "../../model/host-modules.ts";
import { IPVS_SCHEDULERS } from "../../model/ipvs.ts";

const NFT_USERS = ["masquerade", "services", "policies", "flowtable", "ipvs"] as const satisfies readonly HostFeature[];

export const MODULE_NEEDS: readonly ModuleNeed[] = [
  {
    module: "veth",
    features: ["pods"],
    reason: "each pod's interface is one end of a pair",
    option: "CONFIG_VETH",
    without: "no pod gets its network",
  },
  {
    module: "vxlan",
    features: ["vxlan"],
    reason: "carries packets to nodes behind a router",
    option: "CONFIG_VXLAN",
    without: "pods of nodes behind a router cannot be reached; direct and bgp routing need none of it",
  },
  {
    module: "nf_tables",
    features: NFT_USERS,
    reason: "holds all rules, sets and maps",
    option: "CONFIG_NF_TABLES",
    without: "no masquerade, Services or NetworkPolicies",
  },
  {
    module: "nf_conntrack",
    features: ["masquerade", "services", "policies", "ipvs"],
    reason: "remembers connections; its sysctls are there once it is loaded",
    option: "CONFIG_NF_CONNTRACK",
    without: "no address translation, and no answer is told from a new connection",
  },
  {
    module: "nf_conntrack_netlink",
    features: ["services", "policies", "ipvs"],
    reason: "lists and deletes tracked connections",
    option: "CONFIG_NF_CT_NETLINK",
    without: "UDP flows to endpoints that are gone live on, and what a new policy forbids is not cut",
  },
  {
    module: "nft_chain_nat",
    features: ["masquerade", "services", "ipvs"],
    reason: "chains that translate addresses",
    option: "CONFIG_NFT_NAT",
    without: "no masquerade and no Services",
  },
  {
    module: "nft_masq",
    features: ["masquerade", "services", "ipvs"],
    reason: "hides a source behind the node's address",
    option: "CONFIG_NFT_MASQ",
    without: "pods reach nothing outside the cluster that does not know them",
  },
  {
    module: "nft_nat",
    features: ["services"],
    reason: "translates a Service's address to an endpoint's",
    option: "CONFIG_NFT_NAT",
    without: "no Services in nftables",
  },
  {
    module: "nft_numgen",
    features: ["services"],
    reason: "chooses an endpoint at random",
    option: "CONFIG_NFT_NUMGEN",
    without: "no Services in nftables",
  },
  {
    module: "nft_ct",
    features: ["services", "policies"],
    reason: "asks connection tracking for a packet's state",
    option: "CONFIG_NFT_CT",
    without: "no Services in nftables and no NetworkPolicies",
  },
  ...([4, 6] as const).flatMap((family): ModuleNeed[] => [
    {
      module: `nft_fib_ipv${family}`,
      features: ["services"],
      reason: `asks whether an IPv${family} address is the node's own`,
      option: `CONFIG_NFT_FIB_IPV${family}`,
      without: `NodePorts and external addresses do not work by IPv${family}`,
    },
    {
      module: `nft_reject_ipv${family}`,
      features: ["services"],
      reason: `refuses by IPv${family} what has no endpoint, instead of letting clients wait`,
      option: `CONFIG_NFT_REJECT_IPV${family}`,
      without: `no Services in nftables by IPv${family}`,
    },
  ]),
  {
    module: "nft_log",
    features: ["log-denied"],
    reason: "hands denied packets to the log",
    option: "CONFIG_NFT_LOG",
    without: "--log-denied logs nothing",
  },
  {
    module: "nft_limit",
    features: ["log-denied"],
    reason: "limits the lines of the log",
    option: "CONFIG_NFT_LIMIT",
    without: "--log-denied logs nothing",
  },
  {
    module: "nfnetlink_log",
    features: ["log-denied"],
    reason: "brings logged packets to the agent",
    option: "CONFIG_NETFILTER_NETLINK_LOG",
    without: "--log-denied logs nothing",
  },
  {
    module: "nf_flow_table",
    features: ["flowtable"],
    reason: "the fast path of established connections",
    option: "CONFIG_NF_FLOW_TABLE",
    since: "4.16",
    without: "--flowtable does nothing: connections take the ordinary path",
  },
  {
    module: "nf_flow_table_inet",
    features: ["flowtable"],
    reason: "the fast path for IPv4 and IPv6 in one table",
    option: "CONFIG_NF_FLOW_TABLE_INET",
    since: "4.16",
    without: "--flowtable does nothing: connections take the ordinary path",
  },
  {
    module: "nft_flow_offload",
    features: ["flowtable"],
    reason: "offers connections to the fast path",
    option: "CONFIG_NFT_FLOW_OFFLOAD",
    since: "4.16",
    without: "--flowtable does nothing: connections take the ordinary path",
  },
  {
    module: "ip_vs",
    features: ["ipvs"],
    reason: "virtual servers of Services",
    option: "CONFIG_IP_VS",
    without: "no --service-proxy ipvs; nftables, the default, needs none of it",
  },
  ...IPVS_SCHEDULERS.map((scheduler) => ({
    module: `ip_vs_${scheduler}`,
    features: ["ipvs"] as const,
    isChoice: true as const,
    reason: `scheduler ${scheduler}`,
    option: `CONFIG_IP_VS_${scheduler.toUpperCase()}`,
    ...(scheduler === "mh" ? { since: "4.18" } : {}),
    without: `no Service can be given the scheduler ${scheduler}`,
  })),
  {
    module: "dummy",
    features: ["ipvs"],
    reason: "the device that has the addresses of Services",
    option: "CONFIG_DUMMY",
    without: "no --service-proxy ipvs",
  },
  {
    module: "br_netfilter",
    features: ["foreign-bridge"],
    reason: "shows the rules what a bridge of another network plugin carries between its ports",
    option: "CONFIG_BRIDGE_NETFILTER",
    without: "pods on one bridge cannot reach each other through a Service; pods of Breakwater are on no bridge",
  },
  {
    module: "wireguard",
    features: ["wireguard"],
    reason: "encrypts between nodes; this version has no such mode, nothing loads it",
    option: "CONFIG_WIREGUARD",
    since: "5.6",
    without: "nothing that Breakwater does today",
  },
];

export interface FormerModule {
  /** The first kernel without it. */
  readonly goneSince: string;
  /** What does its work since. */
  readonly instead: string;
}

/**
 * Names that guides still tell people to load. Sources: the kernel's commits a0ae2562c6c4 (4.19), 3bf195ae6037 and
 * "merge ipv4 and ipv6 nat chain types" (5.1), 77ccee96a674 (nf_log_*, 5.13).
 */
export const FORMER_MODULES: Readonly<Record<string, FormerModule>> = {
  nf_conntrack_ipv4: { goneSince: "4.19", instead: "nf_conntrack" },
  nf_conntrack_ipv6: { goneSince: "4.19", instead: "nf_conntrack" },
  nf_nat_ipv4: { goneSince: "5.1", instead: "nf_nat" },
  nf_nat_ipv6: { goneSince: "5.1", instead: "nf_nat" },
  nft_chain_nat_ipv4: { goneSince: "5.1", instead: "nft_chain_nat" },
  nft_chain_nat_ipv6: { goneSince: "5.1", instead: "nft_chain_nat" },
  nft_masq_ipv4: { goneSince: "5.1", instead: "nft_masq" },
  nft_masq_ipv6: { goneSince: "5.1", instead: "nft_masq" },
  nf_log_ipv4: { goneSince: "5.13", instead: "nf_log_syslog" },
  nf_log_ipv6: { goneSince: "5.13", instead: "nf_log_syslog" },
};
