/**
 * Which pod CIDRs can be routed. Two nodes that claim overlapping ranges would steal each other's traffic: the claim of
 * the node whose name sorts first stands, the other is reported and left out. No history decides, so every node of the
 * cluster comes to the same answer.
 */
import type { ClusterNode } from "../model/cluster.ts";
import { type Prefix, prefixesOverlap, prefixRange } from "../model/prefix.ts";
import type { Problem } from "../model/state.ts";

export interface PodCidrClaims {
  /** By node name; a node without a usable range is absent. */
  readonly byNode: ReadonlyMap<string, readonly Prefix[]>;
  readonly problems: readonly Problem[];
}

interface Claim {
  readonly node: string;
  readonly prefix: Prefix;
  readonly family: number;
  readonly first: bigint;
  readonly last: bigint;
}

export function claimPodCidrs(nodes: Iterable<ClusterNode>): PodCidrClaims {
  const claims = [...nodes].flatMap((node) => node.podCidrs.map((prefix) => toClaim(node.name, prefix)));
  const rejected = new Map<Claim, Claim>();
  // Sorted by start, an overlap can only be with a range that has not ended yet.
  claims.sort(byStart);
  let open: Claim[] = [];
  for (const claim of claims) {
    open = open.filter((other) => other.family === claim.family && other.last >= claim.first);
    for (const other of open) {
      const [winner, loser] = other.node <= claim.node ? [other, claim] : [claim, other];
      if (!rejected.has(winner) && winner.node !== loser.node) rejected.set(loser, winner);
    }
    open.push(claim);
  }
  return {
    byNode: collect(claims, rejected),
    problems: [...rejected].map(([loser, winner]) => overlap(loser, winner)).sort(byObject),
  };
}

function toClaim(node: string, prefix: Prefix): Claim {
  const { family, first, last } = prefixRange(prefix);
  return { node, prefix, family, first, last };
}

function byStart(a: Claim, b: Claim): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.first !== b.first) return a.first < b.first ? -1 : 1;
  return a.node < b.node ? -1 : 1;
}

function byObject(a: Problem, b: Problem): number {
  return a.message < b.message ? -1 : 1;
}

function collect(claims: readonly Claim[], rejected: ReadonlyMap<Claim, Claim>): Map<string, Prefix[]> {
  const byNode = new Map<string, Prefix[]>();
  for (const claim of claims) {
    if (rejected.has(claim)) continue;
    const list = byNode.get(claim.node);
    if (list === undefined) byNode.set(claim.node, [claim.prefix]);
    else list.push(claim.prefix);
  }
  return byNode;
}

function overlap(loser: Claim, winner: Claim): Problem {
  const same = prefixesOverlap(loser.prefix, winner.prefix) && loser.prefix === winner.prefix;
  return {
    code: "BW_POD_CIDR_OVERLAP",
    object: `Node ${loser.node}`,
    message: `Pod CIDR ${loser.prefix} of node ${loser.node} ${same ? "is also" : "overlaps"} ${same ? "that" : winner.prefix} of node ${winner.node}: not routed`,
    remedy: `Delete and re-join node ${loser.node}, so that it is given a range of its own`,
  };
}
