/**
 * One node with a real agent, and one namespace that is all its peers: their addresses on the node's subnet, those behind
 * the router, which it also is, and those inside the overlay.
 *
 *   node1 eth0 ── eth0 peers: router; 250 nodes on the subnet; 250 behind it ═ vxlan: their addresses in the overlay
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import {
  addDefaultRoutes,
  configureLink,
  createHost,
  type LabHost,
  linkIndex,
} from "../../../src/lab/underlay/host.ts";
import { wire } from "../../../src/lab/underlay/wire.ts";
import type { Ip } from "../../../src/model/ip.ts";
import { DEFAULT_PROBE_PORT, DEFAULT_VNI, DEFAULT_VXLAN_PORT } from "../../../src/model/marks.ts";
import type { ProbeTarget } from "../../../src/model/proof.ts";
import { vtepAddress, vtepMac } from "../../../src/plan/peers.ts";
import type { NodeSpec } from "../cluster.ts";
import type { SimulatedPeers } from "../simulated-peers.ts";
import { largeNode } from "./large-cluster.ts";

export const WIRE_MTU = 1500;
export const VXLAN_OVERHEAD = 50;
/** On the link of node1, and the outer address of what comes out of the overlay. */
const ROUTER: Ip = "10.1.255.254";
const TUNNEL = "vxlan0";
const [SUBNET_BITS, HOST_BITS] = [16, 32];
const RTPROT_STATIC = 4;

/** Node 1 and the peers' namespace with a wire between them. @param folder where the peers' namespace is bound */
export function buildPeers(folder: string, node: LabHost, nodes: readonly NodeSpec[]): LabHost {
  const peers = createHost(folder, "peers");
  wire(node, "eth0", peers, "eth0", WIRE_MTU);
  configureLink(node, "eth0", [{ address: largeNode(1).ip, length: SUBNET_BITS }]);
  configureLink(peers, "eth0", [{ address: ROUTER, length: SUBNET_BITS }]);
  addDefaultRoutes(node, "eth0", [ROUTER]);
  const addresses = nodes.flatMap(simulatedTargets).map(({ address }) => ({ address, length: HOST_BITS }));
  configureLink(peers, "lo", addresses);
  buildOverlay(peers);
  return peers;
}

function buildOverlay(peers: LabHost): void {
  const { name, ip, podCidr } = largeNode(1);
  const [mac, gateway] = [vtepMac(name), vtepAddress(podCidr)];
  const underlayIndex = linkIndex(peers, "eth0");
  const shape = { vni: DEFAULT_VNI, port: DEFAULT_VXLAN_PORT, local: ROUTER, learning: false, udpChecksum: false };
  const kind = { type: "vxlan", vxlan: { ...shape, underlayIndex } } as const;
  peers.routes.createLink({ name: TUNNEL, mtuBytes: WIRE_MTU - VXLAN_OVERHEAD, up: true, kind });
  const index = linkIndex(peers, TUNNEL);
  peers.routes.setFdb({ index, mac, destination: ip });
  peers.routes.setNeighbour({ index, ip: gateway, mac });
  peers.routes.setRoute({ destination: podCidr, gateway, oif: index, onlink: true, protocol: RTPROT_STATIC });
  // Inner frames bear the MAC of the peer that they are for; here one device takes them all.
  const rules = `table netdev peers { chain in {
    type filter hook ingress device "${TUNNEL}" priority 0; meta pkttype set unicast; }
  }`;
  peers.run(() => execFileSync("nft", ["-f", "-"], { input: rules }));
}

/** The paths from a simulated node to node 1; addresses are those of the simulated end. */
export function simulatedTargets({ name, ip, podCidr }: NodeSpec): ProbeTarget[] {
  const direct = ip.startsWith("10.1.");
  const overheadBytes = direct ? 0 : VXLAN_OVERHEAD;
  const both = { peer: name, family: 4 } as const;
  const underlay: ProbeTarget = { ...both, layer: "underlay", address: ip, bytes: WIRE_MTU, overheadBytes };
  if (direct) return [underlay];
  const bytes = WIRE_MTU - overheadBytes;
  return [underlay, { ...both, layer: "overlay", address: vtepAddress(podCidr), bytes, overheadBytes: 0 }];
}

/** Resolves when all addresses answer. */
export async function startSimulatedPeers(host: LabHost, nodes: readonly NodeSpec[]): Promise<ChildProcess> {
  const targets = nodes.flatMap(simulatedTargets);
  const real = largeNode(1);
  const far = { underlay: real.ip, overlay: vtepAddress(real.podCidr) };
  const agentAt = Object.fromEntries(targets.map(({ address, layer }) => [address, far[layer]]));
  const task: SimulatedPeers = { port: DEFAULT_PROBE_PORT, targets, agentAt };
  const file = fileURLToPath(new URL("../simulated-peers.ts", import.meta.url));
  // fork() happens inside spawn(), on this thread: the process is born in that namespace.
  const child = host.run(() => spawn(process.execPath, [file], { stdio: ["pipe", "pipe", "inherit"] }));
  child.stdin.end(JSON.stringify(task));
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(([code]) => Promise.reject(new Error(`The simulated peers ended with code ${code}`))),
  ]);
  return child;
}
