/**
 * The fast path (`--flowtable`): packets of established TCP and UDP connections of this node's pods go from device to
 * device as they come in, past routing, conntrack and every chain. Governed by docs/adr/0009-flowtable.md.
 *
 * A chain behind all filters offers them: what a filter drops never gets here. "Assured" is TCP whose handshake is over,
 * and UDP that has been answered for two seconds: a lookup in the DNS is not worth an entry.
 */
import { POD_LINK_PREFIX } from "../model/marks.ts";
import type { NftChain, NftField, NftFlowtable, NftRule, NftSet } from "../model/nft.ts";
import type { NodeConfig } from "../model/node-config.ts";
import type { Prefix } from "../model/prefix.ts";
import type { NodeFacts, PlannedPath, Problem } from "../model/state.ts";

/** Behind NF_IP_PRI_FILTER (0) and NF_IP_PRI_SECURITY (50), where others' filters are. */
const PRIORITY_FAST = 200;
/** NF_IP_PRI_FILTER: where nft's "filter" is. */
const PRIORITY_INGRESS = 0;
const POD_LINKS = `${POD_LINK_PREFIX}*`;
/** IANA's protocol numbers. nf_flow_table knows no other transport. */
const OFFERED = { TCP: 6, UDP: 17 } as const;

/** NFPROTO_IPV6 of include/uapi/linux/netfilter.h. */
const NFPROTO_IPV6 = 10;
const NARROW = "fast-narrow6";

export interface FlowtablePlan {
  readonly sets: readonly NftSet[];
  readonly flowtables: readonly NftFlowtable[];
  readonly chains: readonly NftChain[];
}

export interface FlowtableInput {
  /** Devices that lead to other nodes: the underlay's, and the tunnel's where there is one. */
  readonly uplinks: readonly string[];
  readonly podLinks: readonly string[];
  readonly paths: readonly PlannedPath[];
  /** What decides how large a packet may be on any of these devices, bytes. */
  readonly mtuBytes: { readonly pods: number; readonly underlay: number };
}

/** Why the fast path cannot be had, when it is wanted. */
export function flowtableProblem({ nodeName, flowtable }: NodeConfig, facts: NodeFacts): Problem | undefined {
  if (flowtable !== true || facts.flowtables !== false) return undefined;
  return {
    code: "BW_FLOWTABLE",
    object: `Node ${nodeName}`,
    message: "This kernel has no NF_FLOW_TABLE (module nf_flow_table): connections take the ordinary path",
    remedy:
      "Use a kernel with CONFIG_NF_FLOW_TABLE_INET and CONFIG_NFT_FLOW_OFFLOAD, or leave --flowtable out; then start the agent again",
  };
}

/**
 * A connection on the fast path keeps the MTU that its devices had when it got there: an IPv6 packet that fits no more
 * is lost without a word. A flowtable that goes takes its connections along, so it has the MTUs in its name.
 */
export function planFlowtable({ uplinks, podLinks, paths, mtuBytes }: FlowtableInput): FlowtablePlan {
  const narrow = narrowPodCidrs(paths, mtuBytes.pods);
  const name = `fast-${mtuBytes.pods}-${mtuBytes.underlay}`;
  const devices = [...new Set([...uplinks, ...podLinks])].sort();
  const base = { type: "filter", hook: "forward", priority: PRIORITY_FAST, policy: "accept" } as const;
  const ways = [
    ...[...uplinks].sort().flatMap((device) => [offerRule(POD_LINKS, device), offerRule(device, POD_LINKS)]),
    offerRule(POD_LINKS, POD_LINKS),
  ];
  const offers = Object.values(OFFERED).map((protocol) => addRule(protocol, name));
  return {
    sets: narrow.length === 0 ? [] : [{ name: NARROW, key: "ipv6_addr", interval: true, elements: narrow }],
    flowtables: [{ name, priority: PRIORITY_INGRESS, devices }],
    chains: [
      { name: "fast", base, rules: ways },
      { name: "fast-offer", rules: narrow.length === 0 ? offers : [...keepRules(), ...offers] },
    ],
  };
}

/**
 * Where pods send packets that their path does not carry, they have to be told by the ordinary path: for IPv6 the fast
 * path does not look at the MTU of a route. For IPv4 it does.
 */
function narrowPodCidrs(paths: readonly PlannedPath[], podMtuBytes: number): Prefix[] {
  const narrow = paths.filter(({ mode, mtuBytes }) => mode !== "none" && mtuBytes < podMtuBytes);
  return narrow.flatMap(({ podCidrs }) => podCidrs.filter((prefix) => prefix.includes(":"))).sort();
}

function keepRules(): NftRule[] {
  return (["ip6 saddr", "ip6 daddr"] as const).map((field) => ({
    statements: [
      { match: "meta nfproto", op: "==", value: NFPROTO_IPV6 },
      { lookup: field, set: NARROW },
      { verdict: "return" },
    ],
    comment: "paths that carry less than the pods know",
  }));
}

function offerRule(from: string, to: string): NftRule {
  const is = (match: NftField, value: string) => ({ match, op: "==", value }) as const;
  return {
    statements: [
      is("meta iifname", from),
      is("meta oifname", to),
      is("ct state", "established"),
      is("ct status", "assured"),
      { verdict: { goto: "fast-offer" } },
    ],
  };
}

function addRule(protocol: number, flowtable: string): NftRule {
  return { statements: [{ match: "meta l4proto", op: "==", value: protocol }, { flowAdd: flowtable }] };
}
