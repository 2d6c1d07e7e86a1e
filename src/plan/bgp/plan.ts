/**
 * What BIRD is to do on one node: its sessions with other nodes and with the operator's peers, and what each may bring and
 * hear. Pure and sorted: the same input gives the same bytes. docs/design/bgp.md has the rules and their reasons.
 */
import type { BgpPeerSpec, BgpPlan, BgpSession } from "../../model/bgp.ts";
import type { ClusterNode } from "../../model/cluster.ts";
import { comparePrefix, type Prefix } from "../../model/prefix.ts";
import { matchesSelector } from "../../model/selector.ts";
import type { PlannedPath, Problem } from "../../model/state.ts";
import { type BgpInput, podFamilies } from "./input.ts";
import { routerId } from "./names.ts";
import { planNodeSession } from "./node-sessions.ts";
import { planPeerSession } from "./peer-sessions.ts";

export function planBgp(input: BgpInput): BgpPlan {
  const { own, state } = input;
  const peers = planPeers(input);
  const taken = new Set(peers.sessions.map(({ address }) => address));
  const mesh = planMesh(input, taken);
  return {
    nodeName: own.name,
    routerId: routerId(own.name, own.internalIps),
    podCidrs: [...state.podCidrs].sort(comparePrefix),
    ...(input.serviceAddresses === undefined ? {} : { serviceAddresses: input.serviceAddresses }),
    otherPodCidrs: podCidrsOf(byBgp(state.paths)),
    keptPodCidrs: podCidrsOf(state.paths.filter(({ mode }) => mode !== "bgp")),
    narrow: planNarrow(byBgp(state.paths)),
    sessions: [...peers.sessions, ...mesh.sessions].sort(byProtocol),
    problems: [
      ...notRead(input),
      ...peers.problems,
      ...mesh.problems,
      ...(peers.sessions.length > 0 ? [] : lonely(input)),
    ],
  };
}

/** Ways whose routes BGP brings; all others are the node's own. */
function byBgp(paths: readonly PlannedPath[]): PlannedPath[] {
  return paths.filter(({ mode }) => mode === "bgp");
}

function podCidrsOf(paths: readonly PlannedPath[]): Prefix[] {
  return paths.flatMap(({ podCidrs }) => podCidrs).sort(comparePrefix);
}

/** Of two peers with one address, the one whose name comes first has the session: BIRD takes no two. */
function planPeers(input: BgpInput): { sessions: BgpSession[]; problems: Problem[] } {
  const mine = input.peers.filter(({ nodes }) => matchesSelector(nodes, input.own.labels));
  const byAddress = new Map<string, BgpPeerSpec>();
  const [sessions, problems]: [BgpSession[], Problem[]] = [[], []];
  for (const peer of [...mine].sort(byName)) {
    const winner = byAddress.get(peer.address);
    if (winner !== undefined) {
      problems.push(sameAddress(peer, winner));
      continue;
    }
    byAddress.set(peer.address, peer);
    const plan = planPeerSession(input, peer);
    if ("session" in plan) sessions.push(plan.session);
    else problems.push(plan.problem);
  }
  return { sessions, problems };
}

/** @param taken addresses that the operator's peers have: what they say of a session counts */
function planMesh(input: BgpInput, taken: ReadonlySet<string>): { sessions: BgpSession[]; problems: Problem[] } {
  const { settings, nodes, own } = input;
  const [sessions, problems]: [BgpSession[], Problem[]] = [[], []];
  if (!settings.nodeMesh || input.beside === true) return { sessions, problems };
  const { routeReflectors } = settings;
  // One that does not route by BGP has no sessions with nodes.
  const reflects = (node: ClusterNode | undefined) =>
    routeReflectors !== undefined &&
    node !== undefined &&
    (node.routing ?? "bgp") === "bgp" &&
    matchesSelector(routeReflectors, node.labels);
  const some = routeReflectors !== undefined && [...nodes.values()].some(reflects);
  const ours = reflects(own);
  const mesh = { families: podFamilies(input.state), hasFabric: taken.size > 0 };
  for (const path of byBgp(input.state.paths)) {
    const theirs = reflects(nodes.get(path.node));
    if ((some && !ours && !theirs) || taken.has(path.peer)) continue;
    const plan = planNodeSession(input, path, { ours: some && ours, theirs: some && theirs }, mesh);
    if (plan === undefined) continue;
    if ("session" in plan) sessions.push(plan.session);
    else problems.push(plan.problem);
  }
  return { sessions, problems };
}

/** Grouped by size: a filter asks once a group. */
function planNarrow(paths: readonly PlannedPath[]): BgpPlan["narrow"] {
  const groups = new Map<number, Prefix[]>();
  for (const { mtuBytes, underlayMtuBytes, podCidrs } of paths) {
    if (mtuBytes >= underlayMtuBytes) continue;
    groups.set(mtuBytes, [...(groups.get(mtuBytes) ?? []), ...podCidrs]);
  }
  return [...groups]
    .sort(([a], [b]) => a - b)
    .map(([mtuBytes, prefixes]) => ({ mtuBytes, prefixes: prefixes.sort(comparePrefix) }));
}

/** There are other nodes whose prefixes BGP is to bring, and no session brings any. */
function lonely({ own, state, settings, beside }: BgpInput): Problem[] {
  const missing = byBgp(state.paths);
  if (missing.length === 0) return [];
  if (beside === true) return missing.map((path) => otherMode(own.name, path));
  if (settings.nodeMesh) return [];
  return [
    {
      code: "BW_BGP_NO_PEER",
      object: `Node ${own.name}`,
      message: `Node ${own.name} has no BGP peer: no route to the pods of ${missing.length} other nodes`,
      remedy: "Make a BGPPeer that selects this node, or let nodes have sessions with each other (nodeMesh)",
    },
  ];
}

function otherMode(own: string, { node, peer, podCidrs }: PlannedPath): Problem {
  return {
    code: "BW_PEER_ROUTING",
    object: `Node ${node}`,
    message: `Node ${node} (${peer}) routes by BGP, node ${own} does not, and a router is between them: no route to ${podCidrs.join(", ")}`,
    remedy: "Give both nodes the same --routing, or both a BGPPeer for the routers between them",
  };
}

function notRead({ unread = [] }: BgpInput): Problem[] {
  return unread.map((why) => ({
    code: "BW_BGP_FORBIDDEN",
    object: "BGPPeers and BGPConfigurations",
    message: `Routing by BGP goes on without what operators ask of it: ${why}`,
    remedy: "Let the agent's user get, list and watch bgppeers and bgpconfigurations of the group breakwater.dev",
  }));
}

function sameAddress(peer: BgpPeerSpec, winner: BgpPeerSpec): Problem {
  return {
    code: "BW_BGP_PEER_TAKEN",
    object: `BGPPeer ${peer.name}`,
    message: `BGPPeer ${peer.name} has the address ${peer.address} of BGPPeer ${winner.name}: only that one has a session`,
    remedy: `Delete one of them, or let them select different nodes`,
  };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function byProtocol(a: BgpSession, b: BgpSession): number {
  return a.protocol < b.protocol ? -1 : 1;
}
