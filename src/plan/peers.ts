/**
 * The way to one peer node: a route through its address when it is on our subnet, one VXLAN forwarding entry, neighbour
 * and on-link route when it is behind a router. Everything about a peer follows from that peer and our own underlay
 * alone, so that adding one node of a thousand plans one.
 */
import type { ClusterNode } from "../model/cluster.ts";
import { type Ip, ipFamily } from "../model/ip.ts";
import { deriveMac, linkLocalIp, type Mac } from "../model/mac.ts";
import { VXLAN_DEVICE } from "../model/marks.ts";
import type { NodeConfig, RoutingMode } from "../model/node-config.ts";
import { type Prefix, prefixAddress } from "../model/prefix.ts";
import type { DesiredFdbEntry, DesiredNeighbour, DesiredRoute, PlannedPath, Problem } from "../model/state.ts";
import { IPV6_MINIMUM_BYTES, pathOverheadBytes, planPathMtu } from "./mtu.ts";
import { addressOfFamily, isOnLink, type Underlay } from "./underlay.ts";

export interface PeerPlan {
  readonly path: PlannedPath | undefined;
  readonly routes: readonly DesiredRoute[];
  readonly neighbours: readonly DesiredNeighbour[];
  readonly fdb: readonly DesiredFdbEntry[];
  readonly problems: readonly Problem[];
}

const NOTHING: PeerPlan = { path: undefined, routes: [], neighbours: [], fdb: [], problems: [] };

/** MAC of a node's VXLAN device: every node computes every other's, and a reboot does not change it. */
export function vtepMac(nodeName: string): Mac {
  return deriveMac(`vtep ${nodeName}`);
}

/** A node's address inside the overlay: the network address of its pod CIDR, which no pod is given. */
export function vtepAddress(podCidr: Prefix): Ip {
  return prefixAddress(podCidr);
}

/**
 * The next hop to a node's pods through the overlay. For IPv6 it is the link-local address of the peer's device: of any
 * other gateway the kernel demands that no route leads to it over another device (ip6_route_check_nh_onlink), which the
 * very route that is to be replaced would do.
 */
function overlayGateway(podCidr: Prefix, mac: Mac): Ip {
  const address = vtepAddress(podCidr);
  return ipFamily(address) === 4 ? address : linkLocalIp(mac);
}

export function planPeer(
  config: NodeConfig,
  underlay: Underlay,
  peer: ClusterNode,
  podCidrs: readonly Prefix[],
  provenBytes: number | undefined,
): PeerPlan {
  if (podCidrs.length === 0) return NOTHING;
  const outer = ipFamily(underlay.address);
  const address = addressOfFamily(peer.internalIps, outer);
  if (address === undefined) return { ...NOTHING, problems: [noAddress(peer, outer)] };
  const direct = isOnLink(underlay.device, address);
  const theirs = peer.routing ?? config.routing;
  const mode = chooseMode(config.routing, theirs, direct);
  const overheadBytes = pathOverheadBytes(mode, outer);
  const underlayMtuBytes = underlay.device.mtuBytes;
  const path: PlannedPath = {
    node: peer.name,
    mode,
    podCidrs,
    peer: address,
    device: mode === "vxlan" ? VXLAN_DEVICE : underlay.device.name,
    underlayMtuBytes,
    overheadBytes,
    mtuBytes: planPathMtu({ underlayMtuBytes, overheadBytes, provenBytes }),
  };
  // Whether BIRD has a way there is for its own plan to say (bgp/plan.ts).
  if (mode === "bgp") return { ...NOTHING, path, problems: tooSmallForIpv6(path) };
  if (mode === "none") return { ...NOTHING, path, problems: [behindRouter(path, config.routing)] };
  const plan = mode === "direct" ? planDirect(underlay, peer, path) : planVxlan(peer, path);
  return { ...plan, problems: [...plan.problems, ...tooSmallForIpv6(path)] };
}

function tooSmallForIpv6({ node, podCidrs, mtuBytes }: PlannedPath): Problem[] {
  if (mtuBytes >= IPV6_MINIMUM_BYTES || !podCidrs.some((prefix) => prefix.includes(":"))) return [];
  return [
    {
      code: "BW_PATH_MTU",
      object: `Node ${node}`,
      message: `The path to node ${node} carries ${mtuBytes} bytes, fewer than the ${IPV6_MINIMUM_BYTES} that IPv6 needs`,
      remedy: "Raise the MTU of the underlay, or take the IPv6 pod CIDRs away",
    },
  ];
}

/**
 * Both nodes come to the same, whatever each was told. Where one routes by BGP and the other does not, there is neither a
 * tunnel nor a session between them: a route through the other's address, or what a fabric brings that both speak with.
 * @param direct they share a subnet
 */
function chooseMode(ours: RoutingMode, theirs: RoutingMode, direct: boolean): PlannedPath["mode"] {
  if (ours === "bgp" && theirs === "bgp") return "bgp";
  if (ours === "bgp" || theirs === "bgp") return direct ? "direct" : "bgp";
  if (ours === "direct" || theirs === "direct") return direct ? "direct" : "none";
  if (ours === "vxlan" || theirs === "vxlan") return "vxlan";
  return direct ? "direct" : "vxlan";
}

function planDirect(underlay: Underlay, peer: ClusterNode, path: PlannedPath): PeerPlan {
  const cause = `Node ${peer.name}`;
  const routes: DesiredRoute[] = [];
  const problems: Problem[] = [];
  for (const destination of path.podCidrs) {
    const gateway = addressOfFamily(peer.internalIps, ipFamily(destination));
    if (gateway === undefined || !isOnLink(underlay.device, gateway)) {
      problems.push(noAddress(peer, ipFamily(destination)));
      continue;
    }
    routes.push({ destination, gateway, device: path.device, onlink: false, ...routeMtu(path), cause });
  }
  return { ...NOTHING, path, routes, problems };
}

function planVxlan(peer: ClusterNode, path: PlannedPath): PeerPlan {
  const cause = `Node ${peer.name}`;
  const mac = vtepMac(peer.name);
  const device = VXLAN_DEVICE;
  const gateways = path.podCidrs.map((destination) => overlayGateway(destination, mac));
  return {
    path,
    routes: path.podCidrs.map((destination) => ({
      destination,
      gateway: overlayGateway(destination, mac),
      device,
      onlink: true,
      ...routeMtu(path),
      cause,
    })),
    neighbours: [...new Set(gateways)].map((ip) => ({ device, ip, mac, cause })),
    fdb: [{ device, mac, destination: path.peer, cause }],
    problems: [],
  };
}

/** A route carries an MTU only where its device would let more through. */
function routeMtu(path: PlannedPath): { mtuBytes?: number } {
  return path.mtuBytes < path.underlayMtuBytes - path.overheadBytes ? { mtuBytes: path.mtuBytes } : {};
}

function noAddress(peer: ClusterNode, family: 4 | 6): Problem {
  return {
    code: "BW_PEER_ADDRESS",
    object: `Node ${peer.name}`,
    message: `Node ${peer.name} has no IPv${family} InternalIP that this node can reach`,
    remedy: `Give its kubelet --node-ip with an IPv${family} address, or take the IPv${family} pod CIDR away`,
  };
}

function behindRouter({ node, peer, podCidrs }: PlannedPath, ours: RoutingMode): Problem {
  const whose = ours === "direct" ? "routing" : "its routing";
  return {
    code: "BW_PEER_BEHIND_ROUTER",
    object: `Node ${node}`,
    message: `Node ${node} (${peer}) is behind a router and ${whose} is "direct": no route to ${podCidrs.join(", ")}`,
    remedy: `Set routing to auto or vxlan, or make the routers know ${podCidrs.join(", ")} via ${peer}`,
  };
}
