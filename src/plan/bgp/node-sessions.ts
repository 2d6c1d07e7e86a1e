/**
 * Sessions between nodes (iBGP). From each node only its own pod CIDRs are taken: no node can draw another's traffic. A
 * route reflector may also bring the others'. Nodes behind a router have no session with us: that router would have to know
 * the pod CIDRs, which is for a fabric that speaks BGP.
 */
import { type BgpSession, DEFAULT_MAX_PREFIXES, DEFAULT_RESTART_SECONDS } from "../../model/bgp.ts";
import { type Family, ipFamily } from "../../model/ip.ts";
import { comparePrefix } from "../../model/prefix.ts";
import type { PlannedPath, Problem } from "../../model/state.ts";
import { addressOfFamily, isOnLink } from "../underlay.ts";
import type { BgpInput, SessionPlan } from "./input.ts";
import { protocolName } from "./names.ts";

/** Which of the two reflects routes. */
export interface Reflectors {
  readonly ours: boolean;
  readonly theirs: boolean;
}

/** The same for all sessions of the mesh. */
export interface Mesh {
  readonly families: readonly Family[];
  /** The node has sessions with routers, which may know the way behind them. */
  readonly hasFabric: boolean;
}

/** @returns undefined where no session is due and none is missed: the fabric's peers bring what is behind a router */
export function planNodeSession(
  input: BgpInput,
  path: PlannedPath,
  reflectors: Reflectors,
  { families, hasFabric }: Mesh,
): SessionPlan | undefined {
  const { own, facts, settings, state } = input;
  const device = facts.interfaces.find(({ name }) => name === path.device);
  if (device === undefined || !isOnLink(device, path.peer)) {
    return hasFabric ? undefined : { problem: behindRouter(path) };
  }
  const local = addressOfFamily(own.internalIps, ipFamily(path.peer));
  if (local === undefined) return { problem: behindRouter(path) };
  const session: BgpSession = {
    protocol: protocolName("node", path.node),
    kind: "node",
    peer: path.node,
    address: path.peer,
    asNumber: settings.asNumber,
    port: settings.listenPort,
    local,
    localAsNumber: settings.asNumber,
    localPort: settings.listenPort,
    nextHops: families.flatMap((family) => {
      const address = addressOfFamily(own.internalIps, family);
      return address === undefined ? [] : [{ family, address }];
    }),
    // A neighbour's packets come with the TTL they were sent with (RFC 5082): nobody behind a router can join in.
    ttlSecurity: true,
    bfd: settings.nodeMeshBfd,
    restartSeconds: DEFAULT_RESTART_SECONDS,
    reflectorClient: reflectors.ours && !reflectors.theirs,
    import: reflectors.theirs
      ? { pods: true, exact: [], within: [] }
      : { pods: false, exact: [...path.podCidrs].sort(comparePrefix), within: [] },
    importLimit: reflectors.theirs ? Math.max(DEFAULT_MAX_PREFIXES, 2 * state.paths.length) : path.podCidrs.length,
    export: { pods: reflectors.ours, exact: [], within: [] },
    communities: [],
    ...(settings.localPreference === undefined ? {} : { announcedPreference: settings.localPreference }),
    allowOwnAs: 0,
  };
  return { session };
}

function behindRouter({ node, peer, podCidrs }: PlannedPath): Problem {
  return {
    code: "BW_PEER_BEHIND_ROUTER",
    object: `Node ${node}`,
    message: `Node ${node} (${peer}) is behind a router and routing is "bgp" without a BGPPeer for this node: no route to ${podCidrs.join(", ")}`,
    remedy: "Make a BGPPeer for that router, or set routing to auto or vxlan",
  };
}
