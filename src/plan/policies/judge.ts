/**
 * Whether policies admit a flow, by the same rules as the chains, for one flow at a time: to find flows that a new policy
 * forbids, and to explain. What nothing speaks of is admitted.
 *
 *   Admin tier ── Pass, or no rule matches ──▶ NetworkPolicies ── none selects the pod ──▶ Baseline tier ──▶ admitted
 *       └ Accept, Deny                             └ what no rule admits is denied              └ Accept, Deny
 */

import type { ClusterNetworkPolicy, PolicyTier, TierAction, TierPeer } from "../../model/cluster-network-policy.ts";
import type { Ip } from "../../model/ip.ts";
import { ipFamily } from "../../model/ip.ts";
import type { ClusterPolicy, PolicyPod, PolicyPort } from "../../model/policy.ts";
import { prefixContains } from "../../model/prefix.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import type { Direction } from "./chains.ts";
import { type ClusterPods, isSelected, selectionOf } from "./peers.ts";
import { selects } from "./table.ts";
import { addressesOfNodes, type PolicyTiers, policiesAbout, rulesOfTier } from "./tiers.ts";

/** One end of a flow: an address, and the pod that has it, if any. */
export interface FlowEnd {
  readonly ip: Ip;
  readonly pod?: PolicyPod | undefined;
}

export interface JudgedFlow {
  readonly from: FlowEnd;
  readonly to: FlowEnd;
  /** Undefined: one that no rule with ports is about, as ICMP. */
  readonly protocol: ServiceProtocol | undefined;
  /** That is dialled; 0 where the protocol has none. */
  readonly port: number;
}

/** What policies are looked up in. */
export type JudgedCluster = ClusterPods & PolicyTiers;

export interface Judgement {
  readonly admitted: boolean;
  /** Whose rules decided; undefined: nothing speaks of the flow, or nothing may forbid it. */
  readonly tier?: PolicyTier | "NetworkPolicy";
  /** NetworkPolicies that select the pod of this side; none: it is not isolated by them. */
  readonly selecting: readonly ClusterPolicy[];
  /** The rule of a NetworkPolicy that admits the flow. */
  readonly by?: { readonly policy: ClusterPolicy; readonly rule: number };
  /** Rules of ClusterNetworkPolicies that match, in their order: one a tier at most, and the last one decided unless it passes on. */
  readonly matched: readonly TierMatch[];
}

/** The first rule of a tier that matches. */
export interface TierMatch {
  readonly tier: PolicyTier;
  readonly policy: ClusterNetworkPolicy;
  /** From 1. */
  readonly rule: number;
  readonly action: TierAction;
}

/** What the policies of one end say: ingress of the pod that is dialled, egress of the pod that dials. */
export function judge(
  direction: Direction,
  flow: JudgedFlow,
  policies: Iterable<ClusterPolicy>,
  cluster: JudgedCluster,
): Judgement {
  const { pod } = direction === "ingress" ? flow.to : flow.from;
  const selecting = pod === undefined ? [] : [...policies].filter((policy) => selects(policy, pod, direction));
  // A pod always reaches itself.
  if (pod === undefined || flow.from.ip === flow.to.ip) return { admitted: true, selecting, matched: [] };
  const about = policiesAbout(pod, direction, cluster.clusterNetworkPolicies ?? [], cluster);
  const inTier = (tier: PolicyTier) => firstMatch(tier, direction, flow, about, cluster);
  const admin = inTier("Admin");
  const matched = admin === undefined ? [] : [admin];
  if (admin !== undefined && admin.action !== "Pass") {
    return { admitted: admin.action === "Accept", tier: "Admin", selecting, matched };
  }
  if (selecting.length > 0) return { ...judgeIsolated(direction, flow, selecting, cluster), matched };
  const baseline = inTier("Baseline");
  if (baseline === undefined) return { admitted: true, selecting, matched };
  const isDecided = baseline.action !== "Pass";
  return {
    admitted: baseline.action !== "Deny",
    ...(isDecided ? { tier: "Baseline" } : {}),
    selecting,
    matched: [...matched, baseline],
  };
}

/** Of a pod that NetworkPolicies select. */
function judgeIsolated(
  direction: Direction,
  flow: JudgedFlow,
  selecting: readonly ClusterPolicy[],
  cluster: JudgedCluster,
): Omit<Judgement, "matched"> {
  for (const policy of selecting) {
    const matches = (rule: Match) => matchesFlow(rule, policy.namespace, direction, flow, cluster);
    const rule = (policy[direction] ?? []).findIndex(matches);
    if (rule >= 0) return { admitted: true, tier: "NetworkPolicy", selecting, by: { policy, rule: rule + 1 } };
  }
  return { admitted: false, tier: "NetworkPolicy", selecting };
}

function firstMatch(
  tier: PolicyTier,
  direction: Direction,
  flow: JudgedFlow,
  about: readonly ClusterNetworkPolicy[],
  cluster: JudgedCluster,
): TierMatch | undefined {
  const found = rulesOfTier(tier, direction, about).find(({ rule }) => matchesFlow(rule, "", direction, flow, cluster));
  return found && { tier, policy: found.policy, rule: found.number, action: found.rule.action };
}

/** What a rule of either kind matches. */
interface Match {
  readonly peers?: readonly TierPeer[];
  readonly ports?: readonly PolicyPort[];
}

function matchesFlow(
  rule: Match,
  ownNamespace: string,
  direction: Direction,
  flow: JudgedFlow,
  cluster: JudgedCluster,
): boolean {
  const peer = direction === "ingress" ? flow.from : flow.to;
  const ports = rule.ports?.filter((port) => matchesPort(port, flow));
  if (ports?.length === 0) return false;
  return rule.peers === undefined || rule.peers.some((each) => matchesPeer(each, ownNamespace, peer, cluster));
}

function matchesPeer(peer: TierPeer, ownNamespace: string, { ip, pod }: FlowEnd, cluster: JudgedCluster): boolean {
  if (peer.kind === "pods") return pod !== undefined && isSelected(selectionOf(peer, ownNamespace), pod, cluster);
  if (peer.kind === "nodes") return addressesOfNodes(peer.nodes, cluster.nodes).includes(ip);
  const holds = (prefix: string) => ipFamily(prefix) === ipFamily(ip) && prefixContains(prefix, ip);
  return holds(peer.prefix) && !peer.except.some(holds);
}

/** A name is that of a port of the pod that is dialled. */
function matchesPort({ protocol, port, endPort }: PolicyPort, flow: JudgedFlow): boolean {
  if (protocol !== flow.protocol) return false;
  if (port === undefined) return true;
  if (typeof port === "number") return flow.port >= port && flow.port <= (endPort ?? port);
  const named = flow.to.pod?.ports ?? [];
  return named.some((each) => each.name === port && each.protocol === protocol && each.port === flow.port);
}
