/**
 * What kube-proxy leaves in a node's kernel, by name, and what was found of it. The names are those of its own clean-up:
 * cleanupLeftovers in pkg/proxy/iptables/cleanup.go and pkg/proxy/ipvs/proxier.go, older ones among them. The kubelet's
 * (KUBE-FIREWALL, KUBE-MARK-DROP, KUBE-KUBELET-CANARY, KUBE-IPTABLES-HINT) and a container runtime's (KUBE-HOSTPORTS,
 * KUBE-HP-…) are not among them and stay: docs/design/takeover.md.
 */

/** What an operator asked for: its state removed once ours serves, or Services left to it. */
export type KubeProxyMode = "replace" | "keep";

/** A part of its state that is found and removed by itself, in the order of removal. */
export const KUBE_PROXY_KINDS = ["iptables-nft", "iptables-legacy", "nftables", "ipvs", "ipset"] as const;
export type KubeProxyKind = (typeof KUBE_PROXY_KINDS)[number];

/** What was found of one kind. */
export interface KubeProxyFinding {
  readonly kind: KubeProxyKind;
  /** What can be removed, by sort: {"chains": 312, "rules": 914}. Empty when all that is left has to stay. */
  readonly counts: KubeProxyCounts;
  /** What stays because somebody else uses it: "ip nat KUBE-MARK-MASQ, used by CNI-HOSTPORT-SETMARK". */
  readonly kept: readonly string[];
  /** Another text when somebody rewrote this state meanwhile; for comparing, nothing else. */
  readonly fingerprint: string;
}

export type KubeProxyCounts = Readonly<Record<string, number>>;

/** Signs that a kube-proxy runs in this network namespace now. */
export interface KubeProxyRunning {
  /** Processes of that name. */
  readonly pids: readonly number[];
  /** The address where something answers as kube-proxy's health server does; undefined: nothing does. */
  readonly healthz: string | undefined;
}

/** Chains of iptables that kube-proxy's rules in built-in chains jump to. */
const ENTRY_CHAINS: ReadonlySet<string> = new Set([
  "KUBE-SERVICES",
  "KUBE-EXTERNAL-SERVICES",
  "KUBE-NODEPORTS",
  "KUBE-POSTROUTING",
  "KUBE-FORWARD",
  "KUBE-PROXY-FIREWALL",
  "KUBE-NODE-PORT",
  "KUBE-IPVS-FILTER",
  "KUBE-IPVS-OUT-FILTER",
]);

/** Chains that only its own rules, or nobody's, lead to. KUBE-FIRE-WALL: IPVS mode of Kubernetes 1.9 to 1.25. */
const INNER_CHAINS: ReadonlySet<string> = new Set([
  "KUBE-MARK-MASQ",
  "KUBE-LOAD-BALANCER",
  "KUBE-FIRE-WALL",
  "KUBE-PROXY-CANARY",
]);

/** A chain a Service, an endpoint or a source range; the rest of the name is a hash. */
const CHAIN_PREFIXES = ["SVC", "SVL", "SEP", "FW", "EXT", "XLB", "SOURCE-RANGES"].map((word) => `KUBE-${word}-`);

/** True for the chains of iptables that kube-proxy makes and removes. */
export function isKubeProxyChain(name: string): boolean {
  if (ENTRY_CHAINS.has(name) || INNER_CHAINS.has(name)) return true;
  return CHAIN_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** True where a rule of a built-in chain that jumps there is kube-proxy's. */
export function isKubeProxyEntry(name: string): boolean {
  return ENTRY_CHAINS.has(name);
}

/** Tables of iptables in which it has chains. */
export const KUBE_PROXY_TABLES = ["nat", "filter", "mangle", "raw"] as const;
/** Its own tables, one a family, in nftables mode. */
export const KUBE_PROXY_NFT_TABLE = "kube-proxy";
/** The device that has the addresses of Services in IPVS mode. */
export const KUBE_PROXY_LINK = "kube-ipvs0";

const IPSETS = [
  "KUBE-LOOP-BACK",
  "KUBE-CLUSTER-IP",
  "KUBE-EXTERNAL-IP",
  "KUBE-EXTERNAL-IP-LOCAL",
  "KUBE-LOAD-BALANCER",
  "KUBE-LOAD-BALANCER-FW",
  "KUBE-LOAD-BALANCER-LOCAL",
  "KUBE-LOAD-BALANCER-MASQ",
  "KUBE-LOAD-BALANCER-SOURCE-IP",
  "KUBE-LOAD-BALANCER-SOURCE-CIDR",
  "KUBE-NODE-PORT-TCP",
  "KUBE-NODE-PORT-LOCAL-TCP",
  "KUBE-NODE-PORT-UDP",
  "KUBE-NODE-PORT-LOCAL-UDP",
  "KUBE-NODE-PORT-SCTP",
  "KUBE-NODE-PORT-LOCAL-SCTP",
  "KUBE-NODE-PORT-SCTP-HASH",
  "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
  "KUBE-HEALTH-CHECK-NODE-PORT",
  "KUBE-IPVS-IPS",
];
/** IPSET_MAXNAMELEN less the NUL: kube-proxy cuts the longer names of IPv6 sets there. */
const IPSET_NAME_BYTES = 31;

const KUBE_PROXY_IPSETS: ReadonlySet<string> = new Set(
  IPSETS.flatMap((name) => [name, name.replace("KUBE-", "KUBE-6-").slice(0, IPSET_NAME_BYTES)]),
);

export function isKubeProxyIpset(name: string): boolean {
  return KUBE_PROXY_IPSETS.has(name);
}

/** True for the sets that hold ports on which the node's own addresses answer, one a protocol. */
export function isNodePortIpset(name: string): boolean {
  return isKubeProxyIpset(name) && /^KUBE-(6-)?NODE-PORT-/.test(name);
}

/** Counts without the sorts of which there are none. */
export function countsOf(counts: KubeProxyCounts): KubeProxyCounts {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

/** "312 chains, 914 rules"; "" for nothing. */
export function formatCounts(counts: KubeProxyCounts): string {
  return Object.entries(countsOf(counts))
    .map(([sort, count]) => `${count} ${count === 1 ? sort.replace(/s$/, "") : sort}`)
    .join(", ");
}

/** How many objects counts are in all. */
export function countObjects(counts: KubeProxyCounts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
