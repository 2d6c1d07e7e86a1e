/**
 * Everything a node should have, from the cluster, the node's own interfaces and its settings. Pure and sorted: the same
 * input gives the same bytes.
 */
import type { ClusterNode } from "../model/cluster.ts";
import { familyBits, ipFamily } from "../model/ip.ts";
import { NFT_TABLE, VXLAN_DEVICE } from "../model/marks.ts";
import type { NftTable } from "../model/nft.ts";
import type { NodeConfig } from "../model/node-config.ts";
import { comparePrefix, type Prefix } from "../model/prefix.ts";
import type {
  DesiredAddress,
  DesiredState,
  DesiredSysctl,
  DesiredVxlan,
  LocalPod,
  NodeFacts,
  Problem,
} from "../model/state.ts";
import { planMasquerade } from "./masquerade.ts";
import { planMssClamp } from "./mss-clamp.ts";
import { planPodMtu } from "./mtu.ts";
import { type PeerPlan, planPeer, vtepAddress, vtepMac } from "./peers.ts";
import { claimPodCidrs } from "./pod-cidrs.ts";
import { planPod } from "./pods.ts";
import { planTunnelFeatures } from "./tunnel-features.ts";
import { findUnderlay, type Underlay } from "./underlay.ts";

export interface PlanInput {
  readonly config: NodeConfig;
  readonly facts: NodeFacts;
  readonly nodes: ReadonlyMap<string, ClusterNode>;
  readonly pods: readonly LocalPod[];
  /** See {@link DesiredState.strangers}. */
  readonly strangers?: readonly string[] | undefined;
  /** Largest packet proven by probes towards a node, bytes, by node name. */
  readonly provenMtuBytes?: ReadonlyMap<string, number> | undefined;
}

/** The plan, or what keeps the node from having one. */
export type PlanResult = { readonly state: DesiredState } | { readonly notReady: Problem };

export function planNode(input: PlanInput): PlanResult {
  const own = input.nodes.get(input.config.nodeName);
  if (own === undefined) return { notReady: noNode(input.config.nodeName) };
  const underlay = findUnderlay(input.facts, own.internalIps);
  if (underlay === undefined) return { notReady: noUnderlay(own) };
  const claims = claimPodCidrs(input.nodes.values());
  const local = claims.byNode.get(own.name) ?? [];
  if (local.length === 0) return { notReady: noPodCidr(own, claims.problems) };
  const peers = planPeers(input, underlay, claims.byNode);
  return { state: assemble(input, underlay, local, claims, peers) };
}

function planPeers(
  { config, nodes, provenMtuBytes }: PlanInput,
  underlay: Underlay,
  podCidrs: ReadonlyMap<string, readonly Prefix[]>,
): PeerPlan[] {
  const names = [...nodes.keys()].filter((name) => name !== config.nodeName).sort();
  return names.map((name) => {
    const node = nodes.get(name) as ClusterNode;
    return planPeer(config, underlay, node, podCidrs.get(name) ?? [], provenMtuBytes?.get(name));
  });
}

function assemble(
  input: PlanInput,
  underlay: Underlay,
  local: readonly Prefix[],
  claims: ReturnType<typeof claimPodCidrs>,
  peers: readonly PeerPlan[],
): DesiredState {
  const { config } = input;
  const paths = peers.flatMap((peer) => (peer.path === undefined ? [] : [peer.path]));
  const podMtuBytes = planPodMtu(paths, underlay.device.mtuBytes, {
    most: config.mtuBytes,
    ipv6: local.some((prefix) => prefix.includes(":")),
  });
  const pods = [...input.pods].sort(byContainer).map((pod) => planPod(pod, podMtuBytes));
  const usesVxlan = paths.some((path) => path.mode === "vxlan");
  return {
    podCidrs: local,
    vxlan: usesVxlan ? planVxlanDevice(config, underlay, paths) : undefined,
    features: usesVxlan ? planTunnelFeatures(underlay.device) : [],
    addresses: usesVxlan ? planVtepAddresses(config, local) : [],
    routes: [...peers, ...pods]
      .flatMap((plan) => plan.routes)
      .sort((a, b) => comparePrefix(a.destination, b.destination)),
    neighbours: [...peers, ...pods].flatMap((plan) => plan.neighbours),
    fdb: peers.flatMap((peer) => peer.fdb),
    pods: pods.map((plan) => plan.pod),
    ...(input.strangers === undefined || input.strangers.length === 0
      ? {}
      : { strangers: [...input.strangers].sort() }),
    sysctls: [...planSysctls(local, underlay), ...planConntrackSysctls(config)],
    nft: planTable(config, local, [...claims.byNode.values()].flat(), paths, podMtuBytes),
    paths,
    podMtuBytes,
    problems: [...claims.problems, ...peers.flatMap((peer) => peer.problems)],
  };
}

function byContainer(a: LocalPod, b: LocalPod): number {
  const [x, y] = [`${a.name}/${a.containerId}/${a.ifname}`, `${b.name}/${b.containerId}/${b.ifname}`];
  return x < y ? -1 : x > y ? 1 : 0;
}

function planVxlanDevice(config: NodeConfig, underlay: Underlay, paths: DesiredState["paths"]): DesiredVxlan {
  const largest = Math.max(
    ...paths.filter((path) => path.mode === "vxlan").map((path) => path.underlayMtuBytes - path.overheadBytes),
  );
  return {
    name: VXLAN_DEVICE,
    mac: vtepMac(config.nodeName),
    mtuBytes: largest,
    vni: config.vni,
    port: config.vxlanPort,
    local: underlay.address,
    underlay: underlay.device.name,
    underlayIndex: underlay.device.index,
  };
}

function planVtepAddresses(config: NodeConfig, local: readonly Prefix[]): DesiredAddress[] {
  return local.map((prefix) => {
    const address = vtepAddress(prefix);
    return { device: VXLAN_DEVICE, address, length: familyBits(ipFamily(address)), cause: `Node ${config.nodeName}` };
  });
}

/** The switch for all devices and, since each device has one of its own besides, that of the underlay. */
function planSysctls(local: readonly Prefix[], underlay: Underlay): DesiredSysctl[] {
  const cause = "pods are routed by the node";
  const v6 = local.some((prefix) => prefix.includes(":"));
  return [
    { name: "net/ipv4/ip_forward", value: "1", cause },
    { name: `net/ipv4/conf/${underlay.device.name}/forwarding`, value: "1", cause },
    ...(v6 ? [{ name: "net/ipv6/conf/all/forwarding", value: "1", cause }] : []),
  ];
}

/**
 * As kube-proxy has them: a connection that its client half-closed is not forgotten after a minute, the kernel's default;
 * and where segments outside the window are not dropped, they must count as the connection's.
 */
function planConntrackSysctls({ services }: NodeConfig): DesiredSysctl[] {
  if (services === undefined) return [];
  const cause = "connections through Services";
  return [
    { name: "net/netfilter/nf_conntrack_tcp_timeout_close_wait", value: "3600", cause },
    ...(services.dropInvalid ? [] : [{ name: "net/netfilter/nf_conntrack_tcp_be_liberal", value: "1", cause }]),
  ];
}

function planTable(
  config: NodeConfig,
  local: readonly Prefix[],
  cluster: readonly Prefix[],
  paths: DesiredState["paths"],
  podMtuBytes: number,
): NftTable {
  const { opening, chains } = planMssClamp(paths, podMtuBytes, config.masquerade);
  if (!config.masquerade) return { ...NFT_TABLE, sets: [], chains };
  const { sets, chain } = planMasquerade(local, [...cluster, ...config.masqueradeExceptions]);
  return { ...NFT_TABLE, sets, chains: [...chains, { ...chain, rules: [...opening, ...chain.rules] }] };
}

function noNode(name: string): Problem {
  return {
    code: "BW_NODE_UNKNOWN",
    object: `Node ${name}`,
    message: `The API has no Node ${name}`,
    remedy: "Check --node-name: it must be the name that this machine's kubelet registered (kubectl get nodes)",
  };
}

function noUnderlay(node: ClusterNode): Problem {
  const addresses = node.internalIps.join(", ");
  return {
    code: "BW_NODE_ADDRESS",
    object: `Node ${node.name}`,
    message:
      addresses === ""
        ? `Node ${node.name} has no InternalIP in its status`
        : `No interface of this machine has the InternalIP of node ${node.name} (${addresses})`,
    remedy: "Check the kubelet's --node-ip, and that the interface is configured (ip address)",
  };
}

function noPodCidr(node: ClusterNode, problems: readonly Problem[]): Problem {
  const overlap = problems.find((problem) => problem.object === `Node ${node.name}`);
  return (
    overlap ?? {
      code: "BW_NO_POD_CIDR",
      object: `Node ${node.name}`,
      message: `Node ${node.name} has no pod CIDR yet`,
      remedy: "Run kube-controller-manager with --allocate-node-cidrs and --cluster-cidr, or set spec.podCIDRs",
    }
  );
}
