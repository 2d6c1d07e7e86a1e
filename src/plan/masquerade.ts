/**
 * Source NAT for what leaves the cluster: a pod's packet to any address that is neither a pod's nor excepted takes the
 * node's address. One rule a family, and one set lookup, whatever the number of nodes.
 */
import { ipFamily } from "../model/ip.ts";
import type { NftChain, NftRule, NftSet } from "../model/nft.ts";
import { compareRanges, outermostOfSorted, type Prefix, type RangedPrefix, rangedPrefix } from "../model/prefix.ts";
import { Each, Sorted } from "./memo.ts";

/** NFPROTO_IPV4 and NFPROTO_IPV6 of include/uapi/linux/netfilter.h. */
const NFPROTO = { 4: 2, 6: 10 } as const;
/** NF_IP_PRI_NAT_SRC: where nft's "srcnat" is. */
const PRIORITY_SRCNAT = 100;
/** Multicast stays on its link; translating its source would break it (RFC 5771, RFC 4291). */
const MULTICAST: Record<4 | 6, Prefix> = { 4: "224.0.0.0/4", 6: "ff00::/8" };

export interface MasqueradePlan {
  readonly sets: readonly NftSet[];
  readonly chain: NftChain;
}

export class MasqueradeMemo {
  readonly elements = { 4: new ElementsMemo(), 6: new ElementsMemo() };
}

/**
 * @param local pod CIDRs of this node
 * @param cluster pod CIDRs of all nodes, and the operator's exceptions; may overlap
 */
export function planMasquerade(
  local: readonly Prefix[],
  cluster: readonly Prefix[],
  memo = new MasqueradeMemo(),
): MasqueradePlan {
  const families = ([4, 6] as const).filter((family) => local.some((prefix) => ipFamily(prefix) === family));
  const rules = families.flatMap((family) =>
    local.filter((prefix) => ipFamily(prefix) === family).map((prefix) => masqueradeRule(family, prefix)),
  );
  return {
    sets: families.map((family) => exceptionSet(family, cluster, memo.elements[family])),
    chain: {
      name: "postrouting",
      base: { type: "nat", hook: "postrouting", priority: PRIORITY_SRCNAT, policy: "accept" },
      rules,
    },
  };
}

function exceptionSet(family: 4 | 6, cluster: readonly Prefix[], memo: ElementsMemo): NftSet {
  const prefixes = [MULTICAST[family], ...cluster].filter((prefix) => ipFamily(prefix) === family);
  return {
    name: `cluster${family}`,
    key: family === 4 ? "ipv4_addr" : "ipv6_addr",
    interval: true,
    elements: memo.outermost(prefixes),
  };
}

/** outermostPrefixes() of one family, again and again. */
class ElementsMemo {
  readonly #ranges = new Each<Prefix, RangedPrefix>(rangedPrefix);
  readonly #sorted = new Sorted<RangedPrefix>(compareRanges);
  readonly #asText = new Sorted<Prefix>((a, b) => (a < b ? -1 : 1));

  outermost(prefixes: readonly Prefix[]): readonly Prefix[] {
    return this.#asText.of(outermostOfSorted(this.#sorted.of(this.#ranges.of(prefixes))));
  }
}

function masqueradeRule(family: 4 | 6, pods: Prefix): NftRule {
  const ip = family === 4 ? "ip" : "ip6";
  return {
    statements: [
      { match: "meta nfproto", op: "==", value: NFPROTO[family] },
      { match: `${ip} saddr`, op: "==", value: pods },
      { lookup: `${ip} daddr`, set: `cluster${family}`, negate: true },
      { masquerade: true },
    ],
    comment: "pods that leave the cluster",
  };
}
