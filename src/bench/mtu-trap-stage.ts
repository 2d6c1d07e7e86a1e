/**
 * Two nodes with a pod each and a VXLAN tunnel between them, as overlays make it, with the mistake of one case; or without
 * a tunnel, by routes:
 *
 *   pod1 eth0 ── node1 ═ vxlan ═ eth0 ── switch ── eth0 ═ vxlan ═ node2 ── eth0 pod2
 *
 * Wires carry 1500 bytes and pass segmentation offload on, as a network card with offload does.
 */
import { join } from "node:path";
import { filterTable, withTable } from "../lab/faults/nft-table.ts";
import { Segmentation } from "../lab/faults/segmentation.ts";
import { addDefaultRoutes, configureLink, createHost, type LabHost, linkIndex } from "../lab/underlay/host.ts";
import { wire } from "../lab/underlay/wire.ts";
import { deriveMac } from "../model/mac.ts";

export interface TrapShape {
  /** What the nodes and the switch believe that the wire carries, bytes. */
  readonly wireMtuBytes: number;
  /** MTU of the tunnel and of the pods. */
  readonly overlayMtuBytes: number;
  /** DF of the outer packet. */
  readonly dontFragment: boolean;
  /** Nodes route to each other's pods without a tunnel. */
  readonly isDirect?: boolean;
  /** Nodes cut segments up before they send them, as without segmentation offload. */
  readonly isSegmented?: boolean;
  /** What the switch carries without saying so; undefined where it carries everything. */
  readonly silentLimitBytes: number | undefined;
}

export interface TrapStage {
  readonly nodes: readonly [LabHost, LabHost];
  readonly pods: readonly [LabHost, LabHost];
  readonly serverAddress: string;
}

const VNI = 7;
const VXLAN_PORT = 4789;
const TUNNEL = "vxlan0";
const RTPROT_STATIC = 4;

const nodeIp = (i: number) => `192.168.0.${i}`;
const podIp = (i: number) => `10.244.${i}.2`;
const gatewayIp = (i: number) => `10.244.${i}.1`;
/** Address of a node's tunnel end inside the overlay. */
const tunnelIp = (i: number) => `10.244.${i}.0`;
const tunnelMac = (i: number) => deriveMac(`bench tunnel ${i}`);

/** @param folder a new one, where namespaces are bound */
export function buildTrapStage(folder: string, shape: TrapShape): TrapStage {
  const fabric = createHost(folder, "switch");
  fabric.routes.createLink({ name: "sw", mtuBytes: shape.wireMtuBytes, up: true, kind: { type: "bridge" } });
  const sides = [1, 2].map((i) => buildSide(folder, fabric, i, shape)) as [Side, Side];
  const nodes = [sides[0].node, sides[1].node] as const;
  for (const [i, node] of nodes.entries()) {
    if (shape.isDirect === true) routeDirectly(node, 2 - i);
    else {
      createTunnel(node, i + 1, shape);
      connect(node, 2 - i);
    }
  }
  if (shape.isSegmented === true) new Segmentation(() => nodes.map((node) => [node, "eth0"] as const)).hold();
  if (shape.silentLimitBytes !== undefined) dropLarger(fabric, nodes, shape.silentLimitBytes);
  return { nodes, pods: [sides[0].pod, sides[1].pod], serverAddress: podIp(2) };
}

interface Side {
  readonly node: LabHost;
  readonly pod: LabHost;
}

function buildSide(folder: string, fabric: LabHost, i: number, shape: TrapShape): Side {
  const node = createHost(join(folder, "nodes"), `node${i}`);
  const pod = createHost(join(folder, "pods"), `pod${i}`);
  node.sysctl("net/ipv4/ip_forward", "1");
  // TCP's own search for the MTU would hide what is to be seen; most machines have it off.
  pod.sysctl("net/ipv4/tcp_mtu_probing", "0");
  wire(fabric, `port${i}`, node, "eth0", shape.wireMtuBytes, linkIndex(fabric, "sw"));
  configureLink(node, "eth0", [{ address: nodeIp(i), length: 24 }]);
  wire(node, "pod", pod, "eth0", shape.overlayMtuBytes);
  configureLink(node, "pod", [{ address: gatewayIp(i), length: 24 }]);
  configureLink(pod, "eth0", [{ address: podIp(i), length: 24 }]);
  addDefaultRoutes(pod, "eth0", [gatewayIp(i)]);
  return { node, pod };
}

function createTunnel(node: LabHost, i: number, shape: TrapShape): void {
  // With the underlay's index the kernel would refuse what does not fit: the mistake takes a tunnel without it.
  const fits = shape.overlayMtuBytes + 50 <= shape.wireMtuBytes;
  const underlayIndex = fits ? linkIndex(node, "eth0") : 0;
  const { dontFragment } = shape;
  const plain = { vni: VNI, local: nodeIp(i), port: VXLAN_PORT, learning: false, udpChecksum: false };
  node.routes.createLink({
    name: TUNNEL,
    mac: tunnelMac(i),
    mtuBytes: shape.overlayMtuBytes,
    up: true,
    kind: { type: "vxlan", vxlan: { ...plain, underlayIndex, dontFragment } },
  });
  configureLink(node, TUNNEL, [{ address: tunnelIp(i), length: 32 }]);
}

/** What leads to the other node's pods: a route, a neighbour, a forwarding entry. */
function connect({ routes, ...node }: LabHost, peer: number): void {
  const index = linkIndex({ routes, ...node }, TUNNEL);
  const [ip, mac] = [tunnelIp(peer), tunnelMac(peer)];
  routes.setFdb({ index, mac, destination: nodeIp(peer) });
  routes.setNeighbour({ index, ip, mac });
  const destination = `10.244.${peer}.0/24`;
  routes.setRoute({ destination, gateway: ip, oif: index, onlink: true, protocol: RTPROT_STATIC });
}

function routeDirectly(node: LabHost, peer: number): void {
  const oif = linkIndex(node, "eth0");
  const destination = `10.244.${peer}.0/24`;
  node.routes.setRoute({ destination, gateway: nodeIp(peer), oif, protocol: RTPROT_STATIC });
}

function dropLarger(fabric: LabHost, nodes: readonly LabHost[], bytes: number): void {
  new Segmentation(() => nodes.map((node) => [node, "eth0"] as const)).hold();
  const rule = { statements: [{ match: "meta length", op: ">", value: bytes }, { verdict: "drop" }] } as const;
  withTable(fabric, filterTable("silent", "bridge", "forward", [rule]));
}
