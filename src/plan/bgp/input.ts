/** What a node's BGP is planned from. */
import type { BgpClusterConfig, BgpPeerSpec, BgpSession } from "../../model/bgp.ts";
import type { ClusterNode } from "../../model/cluster.ts";
import { type Family, ipFamily } from "../../model/ip.ts";
import type { Prefix } from "../../model/prefix.ts";
import type { DesiredState, NodeFacts, Problem } from "../../model/state.ts";

export interface BgpInput {
  readonly own: ClusterNode;
  readonly facts: NodeFacts;
  readonly nodes: ReadonlyMap<string, ClusterNode>;
  /** What the node's plan says of pod CIDRs, and of the ways to other nodes: all of them that have pods. */
  readonly state: Pick<DesiredState, "podCidrs" | "paths">;
  /** Routes between nodes are the node's own (routing is not "bgp"): BGP is for the operator's peers. @default false */
  readonly beside?: boolean;
  readonly settings: BgpClusterConfig;
  readonly peers: readonly BgpPeerSpec[];
  /** By name of the peer; one that names a Secret and is not here has none that can be read. */
  readonly passwords: ReadonlyMap<string, string>;
  /** Why a peer's password cannot be read, by name of the peer. */
  readonly withoutPassword?: ReadonlyMap<string, string>;
  /** Why peers or settings are not known: they may not be read. */
  readonly unread?: readonly string[];
  /** Service addresses that the node announces, sorted; absent where no kind of them is to be announced. */
  readonly serviceAddresses?: readonly Prefix[];
}

export type SessionPlan = { readonly session: BgpSession } | { readonly problem: Problem };

/** Families of pods, IPv4 first: here and anywhere in the cluster. Passes over all nodes: not for each session. */
export function podFamilies({ podCidrs, paths }: BgpInput["state"]): Family[] {
  const has = (family: Family) => (prefix: Prefix) => ipFamily(prefix) === family;
  return ([4, 6] as const).filter(
    (family) => podCidrs.some(has(family)) || paths.some((path) => path.podCidrs.some(has(family))),
  );
}
