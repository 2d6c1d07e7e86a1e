/**
 * The table of one family that enforces NetworkPolicies on a node's pods. One verdict map a direction leads from a pod's
 * address to its chain; pods that no policy selects are in neither, and their packets pay two lookups. Pods that the same
 * policies select share a chain. Established flows pass before all that.
 */
import { type Family, ipFamily } from "../../model/ip.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import type { NftChain, NftRule, NftSet, NftStatement, NftTable } from "../../model/nft.ts";
import type { ClusterPolicy, PolicyPod } from "../../model/policy.ts";
import { matchesSelector } from "../../model/selector.ts";
import { type Direction, directionRules, resolvedNames } from "./chains.ts";
import { type ClusterPods, digest, PeerSets, PodIndex } from "./peers.ts";

export interface PolicyInput extends ClusterPods {
  readonly nodeName: string;
  readonly policies: readonly ClusterPolicy[];
}

/** Just behind NF_IP_PRI_FILTER: what Services refuse is refused, not dropped. */
const PRIORITY = 1;
const IPPROTO_TCP = 6;
const MIDSTREAM = "midstream";

export function planPolicyTable(input: PolicyInput, family: Family): NftTable {
  const sets = new PeerSets(new PodIndex(input), family);
  const policies = [...input.policies].sort(byName);
  const local = input.pods.filter(({ nodeName }) => nodeName === input.nodeName);
  const directions = (["egress", "ingress"] as const).map((direction) =>
    planDirection(direction, policies, local, sets, family),
  );
  return {
    ...POLICY_TABLES[family],
    sets: [...sets.sets(), ...directions.flatMap(({ map, pods }) => [map, pods]), selfSet(directions, family)].sort(
      byName,
    ),
    chains: [...baseChains(family), ...directions.flatMap(({ chains }) => chains)].sort(byName),
  };
}

interface DirectionPlan {
  readonly map: NftSet;
  /** The map's keys: the kernel asks no verdict map whether it holds one. */
  readonly pods: NftSet;
  readonly chains: readonly NftChain[];
  readonly addresses: readonly string[];
}

function planDirection(
  direction: Direction,
  policies: readonly ClusterPolicy[],
  local: readonly PolicyPod[],
  sets: PeerSets,
  family: Family,
): DirectionPlan {
  const chains = new Map<string, NftChain>();
  const chainsOf = new Map<string, Set<string>>();
  for (const pod of local) {
    const addresses = pod.ips.filter((ip) => ipFamily(ip) === family);
    const selecting = policies.filter((policy) => selects(policy, pod, direction));
    if (selecting.length === 0 || addresses.length === 0) continue;
    const names = selecting.map(({ namespace, name }) => `${namespace}/${name}`).join(" ");
    // Named ports are the pod's own where it is dialled.
    const key = `${names} ${direction === "ingress" ? resolvedNames(selecting, pod) : ""}`;
    const chain = `${direction}-${digest(key)}`;
    if (!chains.has(chain)) {
      chains.set(chain, { name: chain, rules: directionRules(direction, selecting, pod, sets, family) });
    }
    for (const ip of addresses) chainsOf.set(ip, (chainsOf.get(ip) ?? new Set()).add(chain));
  }
  const elements = [...chainsOf].map(
    ([ip, names]) => `${ip} : jump ${joinedChain(direction, [...names].sort(), chains)}`,
  );
  const key = family === 4 ? ("ipv4_addr" as const) : ("ipv6_addr" as const);
  const addresses = [...chainsOf.keys()].sort();
  return {
    map: { name: direction, key, data: "verdict", interval: false, elements: elements.sort() },
    pods: { name: `${direction}-pods`, key, interval: false, elements: addresses },
    chains: [...chains.values()],
    addresses,
  };
}

/** Whose the address is while two pods have it, nobody can tell: what both admit passes. @returns the chain's name */
function joinedChain(direction: Direction, names: readonly string[], chains: Map<string, NftChain>): string {
  const [only = ""] = names;
  if (names.length === 1) return only;
  const name = `${direction}-all-${digest(names.join(" "))}`;
  chains.set(name, { name, rules: names.map((jump) => ({ statements: [{ verdict: { jump } }] })) });
  return name;
}

export function selects(policy: ClusterPolicy, pod: PolicyPod, direction: Direction): boolean {
  return (
    policy[direction] !== undefined && policy.namespace === pod.namespace && matchesSelector(policy.pods, pod.labels)
  );
}

/** A pod can always reach itself. */
function selfSet(directions: readonly DirectionPlan[], family: Family): NftSet {
  const key = family === 4 ? ("ipv4_addr" as const) : ("ipv6_addr" as const);
  const addresses = new Set(directions.flatMap((direction) => direction.addresses));
  return {
    name: "self",
    key: [key, key],
    interval: false,
    elements: [...addresses].map((ip) => `${ip} . ${ip}`).sort(),
  };
}

/** The node's own traffic passes input and output, and is never looked at: kubelet's probes always arrive. */
function baseChains(family: Family): NftChain[] {
  const [source, destination] =
    family === 4 ? (["ip saddr", "ip daddr"] as const) : (["ip6 saddr", "ip6 daddr"] as const);
  const rule = (...statements: NftStatement[]): NftRule => ({ statements });
  const isNewTcp: NftStatement[] = [
    { match: "ct state", op: "==", value: "new" },
    { match: "meta l4proto", op: "==", value: IPPROTO_TCP },
  ];
  const forward: NftChain = {
    name: "forward",
    base: { type: "filter", hook: "forward", priority: PRIORITY, policy: "accept" },
    rules: [
      rule({ match: "ct state", op: "==", value: "established,related" }, { verdict: "accept" }),
      rule({ lookup: [source, destination], set: "self" }, { verdict: "accept" }),
      rule(...isNewTcp, { verdict: { jump: MIDSTREAM } }),
      rule({ vmap: source, map: "egress" }),
      rule({ vmap: destination, map: "ingress" }),
    ],
  };
  // Connection tracking takes up a connection in its middle, and whoever is heard first for who opened it: an answer of a
  // server would open again, as a flow of its own, what a policy has cut (nf_conntrack_tcp_loose).
  const midstream: NftChain = {
    name: MIDSTREAM,
    rules: [
      rule({ tcpSyn: true }, { verdict: "return" }),
      rule({ lookup: source, set: "ingress-pods" }, { counter: true }, { verdict: "drop" }),
      rule({ lookup: destination, set: "egress-pods" }, { counter: true }, { verdict: "drop" }),
    ],
  };
  return [forward, midstream];
}

function byName(a: { readonly name: string; readonly namespace?: string }, b: typeof a): number {
  const [x, y] = [`${a.namespace ?? ""}/${a.name}`, `${b.namespace ?? ""}/${b.name}`];
  return x < y ? -1 : x > y ? 1 : 0;
}
