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
  DesiredNeighbour,
  DesiredPod,
  DesiredRoute,
  DesiredState,
  DesiredVxlan,
  LocalPod,
  NodeFacts,
  NodeInterface,
  Problem,
} from "../model/state.ts";
import { type AllPeers, AllPeersMemo, planAllPeers } from "./all-peers.ts";
import { flowtableProblem, planFlowtable } from "./flowtable.ts";
import { requiredSysctls } from "./host/required-sysctls.ts";
import { MasqueradeMemo, planMasquerade } from "./masquerade.ts";
import { Remembered, Sorted } from "./memo.ts";
import { planMssClamp } from "./mss-clamp.ts";
import { planPodMtu } from "./mtu.ts";
import { vtepAddress, vtepMac } from "./peers.ts";
import { claimPodCidrs, type PodCidrClaims, PodCidrMemo } from "./pod-cidrs.ts";
import { AllPodsMemo, planAllPods } from "./pods.ts";
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
  /** Routers are told of the node's pod CIDRs beside another routing mode. */
  readonly announced?: boolean;
}

/** The plan, or what keeps the node from having one. */
export type PlanResult = { readonly state: DesiredState } | { readonly notReady: Problem };

/** What plans of one node have in common from one to the next. A new one is as good, and dearer. */
export class PlanMemo {
  readonly podCidrs = new PodCidrMemo();
  readonly peers = new AllPeersMemo();
  readonly pods = new AllPodsMemo();
  readonly masquerade = new MasqueradeMemo();
  readonly routes = new Sorted<DesiredRoute>(byDestination);
  readonly ends = new Remembered<readonly DesiredRoute[]>();
  readonly neighbours = new Remembered<readonly DesiredNeighbour[]>();
  readonly table = new Remembered<NftTable>();
  readonly fastTable = new Remembered<NftTable>();
}

export function planNode(input: PlanInput, memo = new PlanMemo()): PlanResult {
  const own = input.nodes.get(input.config.nodeName);
  if (own === undefined) return { notReady: noNode(input.config.nodeName) };
  const underlay = findUnderlay(input.facts, own.internalIps);
  if (underlay === undefined) return { notReady: noUnderlay(own) };
  const claims = claimPodCidrs(input.nodes.values(), memo.podCidrs);
  const local = claims.byNode.get(own.name) ?? [];
  if (local.length === 0) return { notReady: noPodCidr(own, claims.problems) };
  const { config, nodes, provenMtuBytes } = input;
  const peers = planAllPeers({ config, underlay, nodes, podCidrs: claims.byNode, provenMtuBytes }, memo.peers);
  return { state: assemble(input, underlay, claims, peers, memo) };
}

function assemble(
  input: PlanInput,
  underlay: Underlay,
  claims: PodCidrClaims,
  peers: AllPeers,
  memo: PlanMemo,
): DesiredState {
  const { config } = input;
  const { paths } = peers;
  const local = claims.byNode.get(config.nodeName) ?? [];
  const podMtuBytes = planPodMtu(paths, underlay.device.mtuBytes, {
    most: config.mtuBytes,
    ipv6: local.some((prefix) => prefix.includes(":")),
  });
  const pods = planAllPods(input.pods, podMtuBytes, memo.pods);
  const usesVxlan = paths.some((path) => path.mode === "vxlan");
  const table = memo.table.get([config, claims, paths, podMtuBytes], () => {
    return planTable(config, claims, paths, podMtuBytes, memo.masquerade);
  });
  const noFlowtable = flowtableProblem(config, input.facts);
  return {
    podCidrs: local,
    vxlan: usesVxlan ? planVxlanDevice(config, underlay, paths) : undefined,
    features: usesVxlan ? planTunnelFeatures(underlay.device) : [],
    addresses: usesVxlan ? planVtepAddresses(config, local) : [],
    routes: memo.routes.of([...peers.routes, ...pods.routes, ...planEnds(input, local, memo)]),
    neighbours: memo.neighbours.get([peers, pods], () => [...peers.neighbours, ...pods.neighbours]),
    fdb: peers.fdb,
    pods: pods.pods,
    ...(input.strangers === undefined || input.strangers.length === 0
      ? {}
      : { strangers: [...input.strangers].sort() }),
    sysctls: requiredSysctls({
      podCidrs: local,
      underlay: underlay.device.name,
      usesVxlan,
      facts: input.facts,
      services: config.services,
    }),
    nft:
      config.flowtable === true && noFlowtable === undefined
        ? withFastPath(
            table,
            { input, underlay: underlay.device, usesVxlan, pods: pods.pods, paths, podMtuBytes },
            memo,
          )
        : table,
    paths,
    podMtuBytes,
    problems: [...claims.problems, ...peers.problems, ...(noFlowtable === undefined ? [] : [noFlowtable])],
  };
}

/**
 * With BGP: a packet for an address that no pod has ends on the node, and does not go back and forth with a fabric that sends
 * it there. BIRD announces the prefixes, but does not hold these routes: after a restart it would delete and set them anew.
 */
function planEnds({ config, announced }: PlanInput, local: readonly Prefix[], memo: PlanMemo): readonly DesiredRoute[] {
  if (config.routing !== "bgp" && announced !== true) return [];
  return memo.ends.get([config.nodeName, local], () =>
    local.map((destination) => ({
      destination,
      type: "unreachable",
      device: "lo",
      onlink: false,
      cause: `Node ${config.nodeName}`,
    })),
  );
}

/** The order in which they are printed; which of two to the same destination comes first depends on nothing else. */
function byDestination(a: DesiredRoute, b: DesiredRoute): number {
  const order = comparePrefix(a.destination, b.destination);
  if (order !== 0) return order;
  const [x, y] = [`${a.cause} ${a.device} ${a.gateway}`, `${b.cause} ${b.device} ${b.gateway}`];
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

function planTable(
  config: NodeConfig,
  { byNode }: PodCidrClaims,
  paths: DesiredState["paths"],
  podMtuBytes: number,
  memo: MasqueradeMemo,
): NftTable {
  const { opening, chains } = planMssClamp(paths, podMtuBytes, config.masquerade);
  if (!config.masquerade) return { ...NFT_TABLE, sets: [], chains };
  const inside = [...[...byNode.values()].flat(), ...config.masqueradeExceptions];
  const { sets, chain } = planMasquerade(byNode.get(config.nodeName) ?? [], inside, memo);
  return { ...NFT_TABLE, sets, chains: [...chains, { ...chain, rules: [...opening, ...chain.rules] }] };
}

interface FastPathSurroundings {
  readonly input: PlanInput;
  readonly underlay: NodeInterface;
  readonly usesVxlan: boolean;
  readonly pods: readonly DesiredPod[];
  readonly paths: DesiredState["paths"];
  readonly podMtuBytes: number;
}

function withFastPath(table: NftTable, given: FastPathSurroundings, memo: PlanMemo): NftTable {
  const { input, underlay, usesVxlan, pods, paths, podMtuBytes } = given;
  const strangers = input.strangers ?? [];
  const inputs = [table, underlay.name, underlay.mtuBytes, usesVxlan, pods, paths, podMtuBytes, ...strangers];
  return memo.fastTable.get(inputs, () => {
    const { sets, flowtables, chains } = planFlowtable({
      uplinks: [underlay.name, ...(usesVxlan ? [VXLAN_DEVICE] : [])],
      podLinks: [...pods.map(({ hostIfname }) => hostIfname), ...strangers],
      paths,
      mtuBytes: { pods: podMtuBytes, underlay: underlay.mtuBytes },
    });
    return { ...table, flowtables, sets: [...table.sets, ...sets], chains: [...table.chains, ...chains] };
  });
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
