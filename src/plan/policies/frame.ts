/** What every table of policies has, whatever they say: the hook, and where its packets are looked up. */
import type { Family } from "../../model/ip.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import type { NftChain, NftRule, NftStatement, NftTable } from "../../model/nft.ts";
import { addressFields } from "./chains.ts";

/** Just behind NF_IP_PRI_FILTER: what Services refuse is refused, not dropped. */
const PRIORITY = 1;
const IPPROTO_TCP = 6;
/** Where TCP segments are dropped that open no connection and belong to none. */
export const MIDSTREAM = "midstream";

export interface Frame {
  readonly family: Family;
  /** Services may be served by IPVS. Where they are not, the node's own packets and its tunnel's pay nothing. */
  readonly throughIpvs: boolean;
}

/** The table that holds these. */
export function policyTable(frame: Frame, sets: NftTable["sets"], chains: NftTable["chains"]): NftTable {
  return {
    ...POLICY_TABLES[frame.family],
    sets: [...sets].sort(byPlainName),
    chains: [...baseChains(frame), ...chains].sort(byPlainName),
  };
}

/** The same objects each time. */
const BASE_CHAINS: Readonly<Record<`${Family} ${boolean}`, readonly NftChain[]>> = {
  "4 false": chainsAtHooks({ family: 4, throughIpvs: false }),
  "4 true": chainsAtHooks({ family: 4, throughIpvs: true }),
  "6 false": chainsAtHooks({ family: 6, throughIpvs: false }),
  "6 true": chainsAtHooks({ family: 6, throughIpvs: true }),
};

export function baseChains({ family, throughIpvs }: Frame): readonly NftChain[] {
  return BASE_CHAINS[`${family} ${throughIpvs}`];
}

/** The node's own traffic is never looked at: kubelet's probes always arrive. */
function chainsAtHooks({ family, throughIpvs }: Frame): NftChain[] {
  const [source, destination] = addressFields(family);
  const rule = (...statements: NftStatement[]): NftRule => ({ statements });
  const isNewTcp: NftStatement[] = [
    { match: "meta l4proto", op: "==", value: IPPROTO_TCP },
    { match: "ct state", op: "==", value: "new" },
  ];
  const looks: NftRule[] = [
    rule(...isNewTcp, { verdict: { jump: MIDSTREAM } }),
    rule({ vmap: source, map: "egress" }),
    rule({ vmap: destination, map: "ingress" }),
  ];
  const hooked = (hook: "forward" | "output", rules: NftRule[]): NftChain => ({
    name: hook,
    base: { type: "filter", hook, priority: PRIORITY, policy: "accept" },
    rules,
  });
  const forward = hooked("forward", [...passingRules(family), ...looks]);
  // What IPVS sends on passes no forward hook: it leaves by output, with the source that it came with.
  const output = hooked("output", [...passingRules(family), rule({ local: "saddr" }, { verdict: "accept" }), ...looks]);
  // Connection tracking takes up a connection in its middle, and whoever is heard first for who opened it: an answer of a
  // server would open again, as a flow of its own, what a policy has cut (nf_conntrack_tcp_loose).
  const midstream: NftChain = {
    name: MIDSTREAM,
    rules: [
      rule({ tcpSyn: true }, { verdict: "return" }),
      rule({ lookup: [source, destination], set: "self" }, { verdict: "return" }),
      rule({ lookup: source, set: "ingress-pods" }, { counter: true }, { verdict: "drop" }),
      rule({ lookup: destination, set: "egress-pods" }, { counter: true }, { verdict: "drop" }),
    ],
  };
  return [forward, midstream, ...(throughIpvs ? [output] : [])];
}

/**
 * What was admitted passes without another look. A flow is confirmed when its first packet has left the node: then every
 * hook has let it pass, this one among them, and datagrams that nobody answers pass like answered ones. IPv6 goes by
 * answers alone: what an address without a pod was sent is found there by walking all flows (docs/design/policies.md).
 */
function passingRules(family: Family): NftRule[] {
  const accept = { verdict: "accept" } as const;
  if (family === 6) return [{ statements: [{ match: "ct state", op: "==", value: "established,related" }, accept] }];
  return [
    { statements: [{ match: "ct status", op: "==", value: "confirmed" }, accept] },
    { statements: [{ match: "ct state", op: "==", value: "related" }, accept] },
  ];
}

export function byName(a: { readonly name: string; readonly namespace?: string }, b: typeof a): number {
  const [x, y] = [`${a.namespace ?? ""}/${a.name}`, `${b.namespace ?? ""}/${b.name}`];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Of thousands of chains: no text is put together to compare them. */
function byPlainName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
