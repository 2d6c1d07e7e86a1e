/** Numbers of include/uapi/linux/netfilter/nfnetlink.h and nf_tables.h. */

export const NFNL_SUBSYS_CTNETLINK = 1;
export const NFNL_SUBSYS_NFTABLES = 10;
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;

export const NFT_MSG_NEWTABLE = 0;
export const NFT_MSG_GETTABLE = 1;
export const NFT_MSG_DELTABLE = 2;
export const NFT_MSG_NEWCHAIN = 3;
export const NFT_MSG_GETCHAIN = 4;
export const NFT_MSG_DELCHAIN = 5;
export const NFT_MSG_NEWRULE = 6;
export const NFT_MSG_GETRULE = 7;
export const NFT_MSG_DELRULE = 8;
export const NFT_MSG_NEWSET = 9;
export const NFT_MSG_GETSET = 10;
export const NFT_MSG_DELSET = 11;
export const NFT_MSG_NEWSETELEM = 12;
export const NFT_MSG_GETSETELEM = 13;
export const NFT_MSG_DELSETELEM = 14;
export const NFT_MSG_NEWFLOWTABLE = 22;
export const NFT_MSG_GETFLOWTABLE = 23;
export const NFT_MSG_DELFLOWTABLE = 24;
export const NFT_MSG_DESTROYTABLE = 26;

/** NFPROTO_ numbers of include/uapi/linux/netfilter.h. */
export const FAMILIES = { inet: 1, ip: 2, netdev: 5, bridge: 7, ip6: 10 } as const;

export const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, ingress: 0 } as const;

/** First 4-byte register (NFT_REG32_00). Registers 8-11 together hold an IPv6 address. */
export const REGISTER = 8;
export const NFT_REG_VERDICT = 0;

export const NF_DROP = 0;
export const NF_ACCEPT = 1;
export const NFT_JUMP = -3;
export const NFT_GOTO = -4;
export const NFT_RETURN = -5;

export const CMP = { "==": 0, "!=": 1, "<": 2, ">": 4 } as const;

export const PAYLOAD_NETWORK_HEADER = 1;
export const PAYLOAD_TRANSPORT_HEADER = 2;

export const META = { length: 0, mark: 3, iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const;

export const NFT_SET_INTERVAL = 0x4;
export const NFT_SET_MAP = 0x8;
export const NFT_SET_TIMEOUT = 0x10;
/** Rules may add elements: what nft calls dynamic. */
export const NFT_SET_EVAL = 0x20;
export const NFT_SET_CONCAT = 0x80;
/** NFTA_SET_DATA_TYPE of a verdict map. */
export const NFT_DATA_VERDICT = 0xffffff00;
export const NFT_SET_ELEM_INTERVAL_END = 0x1;
/** enum nft_limit_type. */
export const NFT_LIMIT_PKTS = 0;
export const NFT_NG_RANDOM = 1;
export const NFT_RT_TCPMSS = 3;
export const NFT_EXTHDR_OP_TCPOPT = 1;
/** TCP option kind 2: maximum segment size (RFC 9293, section 3.2). */
export const TCPOPT_MSS = 2;
/** NF_NAT_RANGE_PROTO_RANDOM_FULLY of include/uapi/linux/netfilter/nf_nat.h. */
export const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 0x10;

/** nft(8)'s own numbers for set key types (src/datatype.c): used for printing, the kernel only stores them. */
export const KEY_TYPES = {
  ipv4_addr: { type: 7, bytes: 4 },
  ipv6_addr: { type: 8, bytes: 16 },
  inet_proto: { type: 12, bytes: 1 },
  inet_service: { type: 13, bytes: 2 },
  index: { type: 4, bytes: 4 },
  ifname: { type: 41, bytes: 16 },
} as const;
/** Bits of each type in the type number of a concatenation (TYPE_BITS of nft's include/datatype.h). */
export const TYPE_BITS = 6;

/** Names of IP protocols as nft prints them (IANA's numbers). */
export const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;

/** enum nft_ct_keys. */
export const CT = { state: 0, status: 2, protoDst: 12, dstIp: 20, dstIp6: 22 } as const;
/** IP_CT_DIR_ORIGINAL. */
export const CT_ORIGINAL = 0;
/** Bits of ct status: enum ip_conntrack_status. */
export const CT_STATUS = { assured: 4, confirmed: 8, snat: 0x10, dnat: 0x20 } as const;

/** enum nft_nat_types and nft_nat_attributes' flags (nf_nat.h). */
export const NFT_NAT_DNAT = 1;
export const NF_NAT_RANGE_PROTO_SPECIFIED = 2;

/** enum nft_fib_result and nft_fib_flags; RTN_UNICAST, RTN_LOCAL of rtnetlink.h. */
export const NFT_FIB_RESULT_ADDRTYPE = 3;
export const NFT_FIB_F = { saddr: 1, daddr: 2 } as const;
export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;

/** enum nft_reject_types, and the codes of "port unreachable" (RFC 792, RFC 4443). */
export const NFT_REJECT_ICMP_UNREACH = 0;
export const NFT_REJECT_TCP_RST = 1;
export const PORT_UNREACHABLE = { icmp: 3, icmpv6: 4 } as const;

export const NFT_DYNSET_OP_UPDATE = 1;

/** Bits of ct state: enum ip_conntrack_info as nft numbers them (NF_CT_STATE_BIT). */
export const CT_STATE = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
