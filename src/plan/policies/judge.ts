/**
 * Whether policies admit a flow, by the same rules as the chains, for one flow at a time: to find flows that a new policy
 * forbids, and to explain. Anything that no policy selects is admitted.
 */

import type { Ip } from "../../model/ip.ts";
import { ipFamily } from "../../model/ip.ts";
import type { ClusterPolicy, PolicyPeer, PolicyPod, PolicyPort, PolicyRule } from "../../model/policy.ts";
import { prefixContains } from "../../model/prefix.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import type { Direction } from "./chains.ts";
import { type ClusterPods, isSelected, selectionOf } from "./peers.ts";
import { selects } from "./table.ts";

/** One end of a flow: an address, and the pod that has it, if any. */
export interface FlowEnd {
  readonly ip: Ip;
  readonly pod?: PolicyPod | undefined;
}

export interface JudgedFlow {
  readonly from: FlowEnd;
  readonly to: FlowEnd;
  readonly protocol: ServiceProtocol;
  /** That is dialled. */
  readonly port: number;
}

export interface Judgement {
  /** Policies that select the pod of this side; none: it is not isolated, and admits all. */
  readonly selecting: readonly ClusterPolicy[];
  /** The rule that admits the flow. */
  readonly by?: { readonly policy: ClusterPolicy; readonly rule: number };
  readonly admitted: boolean;
}

/** What the policies of one end say: ingress of the pod that is dialled, egress of the pod that dials. */
export function judge(
  direction: Direction,
  flow: JudgedFlow,
  policies: Iterable<ClusterPolicy>,
  cluster: ClusterPods,
): Judgement {
  const own = direction === "ingress" ? flow.to : flow.from;
  const { pod } = own;
  const selecting = pod === undefined ? [] : [...policies].filter((policy) => selects(policy, pod, direction));
  if (selecting.length === 0 || flow.from.ip === flow.to.ip) return { selecting, admitted: true };
  const peer = direction === "ingress" ? flow.from : flow.to;
  for (const policy of selecting) {
    const rule = (policy[direction] ?? []).findIndex((each) => admits(each, policy, peer, flow, cluster));
    if (rule >= 0) return { selecting, by: { policy, rule: rule + 1 }, admitted: true };
  }
  return { selecting, admitted: false };
}

function admits(
  rule: PolicyRule,
  policy: ClusterPolicy,
  peer: FlowEnd,
  flow: JudgedFlow,
  cluster: ClusterPods,
): boolean {
  const ports = rule.ports?.filter((port) => matchesPort(port, flow));
  if (ports?.length === 0) return false;
  // In a block there is nobody whose ports have names.
  const namedOnly = peer === flow.to && ports?.every(({ port }) => typeof port === "string") === true;
  return (
    rule.peers === undefined ||
    rule.peers.some((each) => !(namedOnly && each.kind === "block") && matchesPeer(each, policy, peer, cluster))
  );
}

function matchesPeer(peer: PolicyPeer, policy: ClusterPolicy, { ip, pod }: FlowEnd, cluster: ClusterPods): boolean {
  if (peer.kind === "pods") return pod !== undefined && isSelected(selectionOf(peer, policy.namespace), pod, cluster);
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
