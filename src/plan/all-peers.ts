/** The ways to all peers, put together in the order of their names. Each is planned by itself (peers.ts). */
import type { ClusterNode } from "../model/cluster.ts";
import type { NodeConfig } from "../model/node-config.ts";
import type { Prefix } from "../model/prefix.ts";
import type { DesiredFdbEntry, DesiredNeighbour, DesiredRoute, PlannedPath, Problem } from "../model/state.ts";
import { Remembered, RememberedByKey, Sorted } from "./memo.ts";
import { type PeerPlan, planPeer } from "./peers.ts";
import type { Underlay } from "./underlay.ts";

export interface AllPeers {
  readonly paths: readonly PlannedPath[];
  readonly routes: readonly DesiredRoute[];
  readonly neighbours: readonly DesiredNeighbour[];
  readonly fdb: readonly DesiredFdbEntry[];
  readonly problems: readonly Problem[];
}

export interface PeersInput {
  readonly config: NodeConfig;
  readonly underlay: Underlay;
  readonly nodes: ReadonlyMap<string, ClusterNode>;
  /** By node name, as claimed. */
  readonly podCidrs: ReadonlyMap<string, readonly Prefix[]>;
  /** See PlanInput. */
  readonly provenMtuBytes: ReadonlyMap<string, number> | undefined;
}

export class AllPeersMemo {
  readonly names = new Sorted<string>((a, b) => (a < b ? -1 : 1));
  /** Of one configuration and underlay, by name. */
  readonly plans = new Remembered<RememberedByKey<string, PeerPlan>>();
  readonly together = new Remembered<AllPeers>();
}

const NONE: readonly Prefix[] = [];

export function planAllPeers(input: PeersInput, memo = new AllPeersMemo()): AllPeers {
  const { config, underlay, nodes, podCidrs, provenMtuBytes } = input;
  const names = memo.names.of([...nodes.keys()]);
  // The underlay is described anew for every plan: it is compared by value.
  const known = memo.plans.get([config, JSON.stringify(underlay)], () => new RememberedByKey());
  const plans: PeerPlan[] = [];
  for (const name of names) {
    if (name === config.nodeName) continue;
    const node = nodes.get(name) as ClusterNode;
    const prefixes = podCidrs.get(name) ?? NONE;
    const proven = provenMtuBytes?.get(name);
    plans.push(known.get(name, [node, prefixes, proven], () => planPeer(config, underlay, node, prefixes, proven)));
  }
  known.sweep();
  return memo.together.get(plans, () => putTogether(plans));
}

function putTogether(plans: readonly PeerPlan[]): AllPeers {
  const paths: PlannedPath[] = [];
  const [routes, neighbours, fdb, problems]: [DesiredRoute[], DesiredNeighbour[], DesiredFdbEntry[], Problem[]] = [
    [],
    [],
    [],
    [],
  ];
  for (const plan of plans) {
    if (plan.path !== undefined) paths.push(plan.path);
    for (const route of plan.routes) routes.push(route);
    for (const neighbour of plan.neighbours) neighbours.push(neighbour);
    for (const entry of plan.fdb) fdb.push(entry);
    for (const problem of plan.problems) problems.push(problem);
  }
  return { paths, routes, neighbours, fdb, problems };
}
