/**
 * Which pod CIDRs can be routed. Two nodes that claim overlapping ranges would steal each other's traffic: nodes are
 * served in the order of their age, then of their names, and a claim that overlaps one that was granted is reported and
 * left out: a newcomer takes nothing from those that run. Every node of the cluster comes to the same answer.
 */
import type { ClusterNode } from "../model/cluster.ts";
import { type Prefix, prefixRange } from "../model/prefix.ts";
import type { Problem } from "../model/state.ts";
import { Each, Remembered, Sorted } from "./memo.ts";

export interface PodCidrClaims {
  /** By node name; a node without a usable range is absent. */
  readonly byNode: ReadonlyMap<string, readonly Prefix[]>;
  readonly problems: readonly Problem[];
}

interface Claim {
  readonly node: string;
  readonly createdAt: string;
  readonly prefix: Prefix;
  readonly family: number;
  readonly first: bigint;
  readonly last: bigint;
}

export class PodCidrMemo {
  readonly ofNode = new Each<ClusterNode, NodeClaims>(claimsOf);
  readonly sorted = new Sorted<Claim>(byStart);
  readonly claims = new Remembered<PodCidrClaims>();
}

/** What a node asks for, in order. */
interface NodeClaims {
  readonly node: string;
  readonly claims: readonly Claim[];
  readonly prefixes: readonly Prefix[];
}

export function claimPodCidrs(nodes: Iterable<ClusterNode>, memo = new PodCidrMemo()): PodCidrClaims {
  const wanted = memo.ofNode.of([...nodes]);
  return memo.claims.get([wanted], () => {
    const all: Claim[] = [];
    for (const { claims } of wanted) for (const claim of claims) all.push(claim);
    const rejected = rejectedClaims(findConflicts(memo.sorted.of(all)));
    return {
      byNode: grant(wanted, rejected),
      problems: [...rejected].map(([loser, winner]) => overlap(loser, winner)).sort(byMessage),
    };
  });
}

function claimsOf(node: ClusterNode): NodeClaims {
  const claims = node.podCidrs.map((prefix) => toClaim(node, prefix)).sort(byStart);
  return { node: node.name, claims, prefixes: claims.map(({ prefix }) => prefix) };
}

/** Claims of different nodes that overlap, each with those it overlaps. Nearly always there are none. */
function findConflicts(sorted: readonly Claim[]): Map<Claim, Claim[]> {
  const conflicts = new Map<Claim, Claim[]>();
  // Sorted by start, an overlap can only be with a range that has not ended yet.
  let open: Claim[] = [];
  for (const claim of sorted) {
    if (open.some((other) => hasEnded(other, claim))) open = open.filter((other) => !hasEnded(other, claim));
    for (const other of open) {
      if (other.node === claim.node) continue;
      append(conflicts, other, claim);
      append(conflicts, claim, other);
    }
    open.push(claim);
  }
  return conflicts;
}

function hasEnded(open: Claim, claim: Claim): boolean {
  return open.family !== claim.family || open.last < claim.first;
}

/** Each rejected claim with the granted one that it overlaps. */
function rejectedClaims(conflicts: ReadonlyMap<Claim, readonly Claim[]>): Map<Claim, Claim> {
  const rejected = new Map<Claim, Claim>();
  const granted = new Set<Claim>();
  for (const claim of [...conflicts.keys()].sort(byAge)) {
    const winner = conflicts.get(claim)?.find((other) => granted.has(other));
    if (winner === undefined) granted.add(claim);
    else rejected.set(claim, winner);
  }
  return rejected;
}

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

function toClaim({ name, createdAt = "" }: ClusterNode, prefix: Prefix): Claim {
  const { family, first, last } = prefixRange(prefix);
  return { node: name, createdAt, prefix, family, first, last };
}

function byStart(a: Claim, b: Claim): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.first !== b.first) return a.first < b.first ? -1 : 1;
  if (a.last !== b.last) return a.last > b.last ? -1 : 1;
  return compareText(a.node, b.node);
}

/** RFC 3339 in UTC sorts as text. */
function byAge(a: Claim, b: Claim): number {
  return compareText(a.createdAt, b.createdAt) || compareText(a.node, b.node) || byStart(a, b);
}

function byMessage(a: Problem, b: Problem): number {
  return compareText(a.message, b.message);
}

/** By code units: the same in every locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function grant(wanted: readonly NodeClaims[], rejected: ReadonlyMap<Claim, Claim>): Map<string, readonly Prefix[]> {
  const granted = new Map<string, readonly Prefix[]>();
  for (const { node, claims, prefixes } of wanted) {
    const isWhole = rejected.size === 0 || !claims.some((claim) => rejected.has(claim));
    const list = isWhole ? prefixes : claims.flatMap((claim) => (rejected.has(claim) ? [] : claim.prefix));
    if (list.length > 0) granted.set(node, list);
  }
  return granted;
}

function overlap(loser: Claim, winner: Claim): Problem {
  const same = loser.prefix === winner.prefix;
  return {
    code: "BW_POD_CIDR_OVERLAP",
    object: `Node ${loser.node}`,
    message: `Pod CIDR ${loser.prefix} of node ${loser.node} ${same ? "is also" : "overlaps"} ${same ? "that" : winner.prefix} of node ${winner.node}: not routed`,
    remedy: `Delete and re-join node ${loser.node}, so that it is given a range of its own`,
  };
}
