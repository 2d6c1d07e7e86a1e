/** What the rules of the policies that select a pod lack to admit a flow which they deny. */
import type { ClusterPolicy, PolicyDirection, PolicyPort, PolicyRule } from "../../model/policy.ts";
import { type JudgedCluster, type JudgedFlow, judge } from "./judge.ts";
import { listText, peersText, portsText, portText } from "./policy-text.ts";

export interface RuleMiss {
  /** "namespace/name". */
  readonly policy: string;
  /** From 1; 0 for a policy without rules. */
  readonly rule: number;
  /** Whether the other end is among the rule's peers, and the port among its ports. */
  readonly peerMatches: boolean;
  readonly portMatches: boolean;
  /** What it admits instead, behind the rule's name: "admits TCP 80, but only for pods app=api of namespace shop". */
  readonly why: string;
}

/** The nearest first: what admits the peer, then what admits the port, then the rest. */
export function nearMisses(
  direction: PolicyDirection,
  flow: JudgedFlow,
  selecting: readonly ClusterPolicy[],
  cluster: JudgedCluster,
): RuleMiss[] {
  const misses = selecting.flatMap((policy) => {
    const rules = policy[direction] ?? [];
    const name = `${policy.namespace}/${policy.name}`;
    if (rules.length === 0) {
      const why = `has no ${direction} rules: it admits nothing`;
      return [{ policy: name, rule: 0, peerMatches: false, portMatches: false, why }];
    }
    return rules.map((rule, i) => ({ policy: name, rule: i + 1, ...miss(direction, flow, policy, rule, cluster) }));
  });
  return misses
    .map((each, i) => ({ each, i }))
    .sort((a, b) => rank(b.each) - rank(a.each) || a.i - b.i)
    .map(({ each }) => each);
}

function rank({ peerMatches, portMatches, rule }: Omit<RuleMiss, "policy" | "why">): number {
  return (peerMatches ? 4 : 0) + (portMatches ? 2 : 0) + (rule > 0 ? 1 : 0);
}

function miss(
  direction: PolicyDirection,
  flow: JudgedFlow,
  policy: ClusterPolicy,
  rule: PolicyRule,
  cluster: JudgedCluster,
): Pick<RuleMiss, "peerMatches" | "portMatches" | "why"> {
  // The same judge, of a policy that says only half of the rule.
  const admits = (half: PolicyRule) => judge(direction, flow, [{ ...policy, [direction]: [half] }], cluster).admitted;
  const peerMatches = admits(rule.peers === undefined ? {} : { peers: rule.peers });
  const portMatches = admits(rule.ports === undefined ? {} : { ports: rule.ports });
  return { peerMatches, portMatches, why: whyNot(rule, policy.namespace, flow, peerMatches, portMatches) };
}

function whyNot(
  rule: PolicyRule,
  namespace: string,
  flow: JudgedFlow,
  peerMatches: boolean,
  portMatches: boolean,
): string {
  if (rule.peers?.length === 0 || rule.ports?.length === 0) return "admits nothing: it could not be understood";
  const peers = peersText(rule, namespace);
  const ports = rule.ports === undefined ? portsText(rule) : listText(rule.ports.map((port) => portHere(port, flow)));
  if (peerMatches) return `admits this peer, but only on ${ports}`;
  if (portMatches) return `admits ${flow.protocol} ${flow.port}, but only for ${peers}`;
  return `admits ${peers} on ${ports}`;
}

/** A name with what it is of the pod that is dialled. */
function portHere(port: PolicyPort, { to }: JudgedFlow): string {
  if (typeof port.port !== "string") return portText(port);
  const numbers = (to.pod?.ports ?? []).filter(
    ({ name, protocol }) => name === port.port && protocol === port.protocol,
  );
  const meaning =
    numbers.length === 0 ? "which it does not declare" : `${numbers.map((each) => each.port).join(", ")} here`;
  return `${portText(port)} (${meaning})`;
}
