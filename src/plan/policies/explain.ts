/**
 * Why a connection is allowed or denied: what judge() says at each end, over each pair of addresses, and the rules that
 * came nearest. docs/design/policies.md, section "Explain and audit".
 */
import { type Ip, ipFamily } from "../../model/ip.ts";
import type { ClusterPolicy, PolicyDirection, PolicyPod } from "../../model/policy.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import { nearMisses, type RuleMiss } from "./explain-misses.ts";
import { type Suggestion, suggest } from "./explain-suggestion.ts";
import { type JudgedFlow, type Judgement, judge, type TierMatch } from "./judge.ts";
import type { ClusterPods } from "./peers.ts";
import type { PolicyTiers } from "./tiers.ts";

export interface PolicyCluster extends ClusterPods, PolicyTiers {
  readonly policies: readonly ClusterPolicy[];
}

/** One end of the connection that is asked about. */
export interface Party {
  /** "shop/web", or the address where it is no pod's. */
  readonly name: string;
  /** What policies take it for: a pod of the host network is its node. */
  readonly kind: "pod" | "node" | "outside";
  /** Of kind "pod" only. */
  readonly pod?: PolicyPod;
  /** The node that it runs on, or is. */
  readonly nodeName?: string;
  /** Addresses that it may have as this end. */
  readonly ips: readonly Ip[];
}

export interface Question {
  readonly from: Party;
  readonly to: Party;
  readonly protocol: ServiceProtocol;
  /** That is dialled, 1 to 65535; behind a Service that of the endpoint. */
  readonly port: number;
}

export const SIDES = ["egress", "ingress"] as const;

/** What the policies of one end say. */
export interface Side {
  readonly admitted: boolean;
  /**
   * Why no rule is needed. "no-pod": policies are about pods; "own-node": between a pod and its node everything passes;
   * "itself": a pod reaches itself; "not-isolated": no NetworkPolicy selects the pod for this direction, and no rule of a tier
   * decides.
   */
  readonly exempt?: "no-pod" | "own-node" | "itself" | "not-isolated";
  /** Whose rules decided; absent where none did. */
  readonly tier?: Judgement["tier"];
  /** The rule of a NetworkPolicy that admits it, numbered from 1. */
  readonly by?: { readonly policy: string; readonly rule: number };
  /** NetworkPolicies that select the pod for this direction, "namespace/name". */
  readonly selecting: readonly string[];
  /** Rules of ClusterNetworkPolicies that match, one a tier at most: the last one decided, unless it passes on. */
  readonly matched: readonly TierRuleName[];
  /** Of a denial by NetworkPolicies: what each rule lacks, the nearest first. */
  readonly misses: readonly RuleMiss[];
}

export interface TierRuleName extends Pick<TierMatch, "tier" | "action" | "rule"> {
  readonly policy: string;
  readonly priority: number;
  /** What its author calls the rule; may be empty. */
  readonly name: string;
}

/** The connection over one pair of addresses. */
export interface Way {
  readonly from: Ip;
  readonly to: Ip;
  readonly admitted: boolean;
  readonly egress: Side;
  readonly ingress: Side;
}

export interface Explanation {
  /** Over all pairs of addresses. */
  readonly admitted: boolean;
  readonly ways: readonly Way[];
  /** What would admit it, one for each end and tier that denies; empty when it is admitted. */
  readonly suggestions: readonly Suggestion[];
  /** What has to be changed where no new policy can admit it, a sentence each. */
  readonly advice: readonly string[];
  /** What could not be understood of the policies that took part. */
  readonly problems: readonly { readonly policy: string; readonly why: string }[];
}

/** @throws RangeError when the ends have no address of one family in common */
export function explain(question: Question, cluster: PolicyCluster): Explanation {
  const ways = addressPairs(question).map(({ from, to }) => explainWay(question, from, to, cluster));
  if (ways.length === 0)
    throw new RangeError(`${question.from.name} and ${question.to.name} have no family of addresses in common`);
  const found = SIDES.map((direction) => suggest(direction, question, ways, cluster));
  return {
    admitted: ways.every(({ admitted }) => admitted),
    ways,
    suggestions: found.flatMap(({ suggestions }) => suggestions),
    advice: found.flatMap(({ advice }) => advice),
    problems: problemsOf(ways, cluster),
  };
}

function problemsOf(ways: readonly Way[], cluster: PolicyCluster): Explanation["problems"] {
  const sides = ways.flatMap(({ egress, ingress }) => [egress, ingress]);
  const selecting = new Set(sides.flatMap((side) => side.selecting));
  const matched = new Set(sides.flatMap((side) => side.matched.map(({ policy }) => policy)));
  const told = (policy: string, problems: readonly string[] = []) => problems.map((why) => ({ policy, why }));
  return [
    ...(cluster.clusterNetworkPolicies ?? []).flatMap(({ name, problems }) =>
      matched.has(name) ? told(name, problems) : [],
    ),
    ...cluster.policies.flatMap((policy) =>
      selecting.has(policyName(policy)) ? told(policyName(policy), policy.problems) : [],
    ),
  ];
}

/** Pairs of one family, IPv4 first. */
export function addressPairs({ from, to }: Pick<Question, "from" | "to">): { readonly from: Ip; readonly to: Ip }[] {
  const pairs = from.ips.flatMap((source) =>
    to.ips.flatMap((target) => (ipFamily(source) === ipFamily(target) ? [{ from: source, to: target }] : [])),
  );
  return pairs.sort((a, b) => ipFamily(a.from) - ipFamily(b.from));
}

function explainWay(question: Question, from: Ip, to: Ip, cluster: PolicyCluster): Way {
  const { protocol, port } = question;
  const flow: JudgedFlow = {
    from: { ip: from, pod: question.from.pod },
    to: { ip: to, pod: question.to.pod },
    protocol,
    port,
  };
  const egress = explainSide("egress", question.from, question.to, flow, cluster);
  const ingress = explainSide("ingress", question.to, question.from, flow, cluster);
  return { from, to, admitted: egress.admitted && ingress.admitted, egress, ingress };
}

function explainSide(
  direction: PolicyDirection,
  own: Party,
  peer: Party,
  flow: JudgedFlow,
  cluster: PolicyCluster,
): Side {
  const exempt = (why: Side["exempt"]): Side => ({
    ...{ admitted: true, exempt: why, selecting: [], matched: [], misses: [] },
  });
  if (own.pod === undefined) return exempt("no-pod");
  // The node's own traffic passes the hooks input and output, and the chains hang in forward.
  if (peer.kind === "node" && peer.nodeName === own.nodeName) return exempt("own-node");
  if (flow.from.ip === flow.to.ip) return exempt("itself");
  const { admitted, by, selecting, matched, tier } = judge(direction, flow, cluster.policies, cluster);
  return {
    admitted,
    ...(tier === undefined ? { exempt: "not-isolated" } : { tier }),
    ...(by && { by: { policy: policyName(by.policy), rule: by.rule } }),
    selecting: selecting.map(policyName).sort(),
    matched: matched.map((each) => tierRuleName(each, direction)),
    misses: tier === "NetworkPolicy" && !admitted ? nearMisses(direction, flow, selecting, cluster) : [],
  };
}

function tierRuleName({ tier, action, rule, policy }: TierMatch, direction: PolicyDirection): TierRuleName {
  const { name, priority } = policy;
  return { tier, action, rule, policy: name, priority, name: policy[direction][rule - 1]?.name ?? "" };
}

export function policyName({ namespace, name }: Pick<ClusterPolicy, "namespace" | "name">): string {
  return `${namespace}/${name}`;
}
