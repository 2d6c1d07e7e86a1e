/**
 * What of the cluster's NetworkPolicies does nothing, and whom none of them isolates. Nothing is claimed that is not so; what
 * is only likely is marked as a hint. docs/design/policies.md, section "Explain and audit".
 */
import { byPrecedence } from "../../model/cluster-network-policy.ts";
import type { ClusterPolicy, PolicyDirection, PolicyPod } from "../../model/policy.ts";
import { selectorText } from "../../model/selector.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import { clusterMatchingOf, matchingOf, peersWithoutMatch, selectsNothing } from "./audit-matches.ts";
import { AuditPods, type LabelledPod } from "./audit-pods.ts";
import { portFindings } from "./audit-ports.ts";
import { shadowedRules } from "./audit-shadowed.ts";
import type { PolicyCluster } from "./explain.ts";
import { listText } from "./policy-text.ts";
import { policiesAbout } from "./tiers.ts";

export interface DeclaredPort {
  readonly name?: string;
  readonly protocol: ServiceProtocol;
  readonly port: number;
}

export interface AuditInput extends PolicyCluster {
  /** Ports that a pod's containers declare, by "namespace/name". */
  readonly declaredPorts: ReadonlyMap<string, readonly DeclaredPort[]>;
  /** Pods of the host network: they explain why a selector that matches something matches nothing. */
  readonly hostPods: readonly LabelledPod[];
}

/** In the order in which they are reported. */
export const FINDING_KINDS = [
  "not-understood",
  "not-isolated",
  "selects-nothing",
  "peer-matches-nothing",
  "port-nowhere",
  "shadowed-rule",
] as const;

export interface Finding {
  readonly kind: (typeof FINDING_KINDS)[number];
  /** "" for a ClusterNetworkPolicy. */
  readonly namespace: string;
  /** Its name; absent for what is about pods. */
  readonly policy?: string;
  readonly direction?: PolicyDirection;
  /** From 1. */
  readonly rule?: number;
  /** From 1, in the rule's list of those that were understood. */
  readonly peer?: number;
  readonly port?: number;
  /** Names of the pods that it is about. */
  readonly pods?: readonly string[];
  /** Of a shadowed rule: the one that admits all of it. */
  readonly by?: { readonly policy: string; readonly rule: number };
  /** A sentence without its subject: the policy, the rule or the namespace. */
  readonly message: string;
  /** It may be meant so. */
  readonly hint?: true;
}

const DIRECTIONS = ["ingress", "egress"] as const;

/** What audits of one cluster share. */
export interface AuditContext {
  readonly input: AuditInput;
  readonly pods: AuditPods<PolicyPod>;
  readonly hostPods: AuditPods<LabelledPod>;
}

/**
 * @param namespace the only one whose policies and pods are looked at; peers are looked for in all. Without it
 *   ClusterNetworkPolicies are looked at, too
 * @returns sorted by kind, namespace, policy and rule
 */
export function audit(input: AuditInput, namespace?: string): Finding[] {
  const isMeant = (object: { readonly namespace: string }) => namespace === undefined || object.namespace === namespace;
  const policies = input.policies.filter(isMeant).sort(byName);
  const context: AuditContext = {
    input,
    pods: new AuditPods(input.pods, input.namespaces),
    hostPods: new AuditPods(input.hostPods, input.namespaces),
  };
  const byNamespace = Map.groupBy(policies, (policy) => policy.namespace);
  const clusterPolicies = namespace === undefined ? (input.clusterNetworkPolicies ?? []).toSorted(byPrecedence) : [];
  const matching = [...policies.map(matchingOf), ...clusterPolicies.map(clusterMatchingOf)];
  return [
    ...policies.flatMap((policy) => notUnderstood(policy.namespace, policy)),
    ...clusterPolicies.flatMap((policy) => notUnderstood("", policy)),
    ...[...new Set(input.pods.filter(isMeant).map((pod) => pod.namespace))]
      .sort()
      .flatMap((name) => notIsolated(name, byNamespace.get(name) ?? [], context)),
    ...matching.flatMap((each) => selectsNothing(each, context)),
    ...matching.flatMap((each) => peersWithoutMatch(each, context)),
    ...portFindings(policies, context),
    ...[...byNamespace.values()].flatMap((each) => shadowed(each, input)),
  ];
}

function byName(a: ClusterPolicy, b: ClusterPolicy): number {
  const [x, y] = [`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`];
  return x < y ? -1 : x > y ? 1 : 0;
}

function notUnderstood(
  namespace: string,
  { name, problems = [] }: { readonly name: string; readonly problems?: readonly string[] },
): Finding[] {
  return problems.map((message) => ({ kind: "not-understood", namespace, policy: name, message }));
}

function notIsolated(namespace: string, policies: readonly ClusterPolicy[], { pods, input }: AuditContext): Finding[] {
  const { clusterNetworkPolicies = [] } = input;
  return DIRECTIONS.flatMap((direction): Finding[] => {
    const denying = clusterNetworkPolicies.filter((each) => each[direction].some(({ action }) => action === "Deny"));
    // A pod that one of them may deny something is not open.
    const isDenied = (pod: PolicyPod) => policiesAbout(pod, direction, denying, input).length > 0;
    const isolating = policies.filter((policy) => policy[direction] !== undefined);
    const all = pods.in(namespace);
    const isolated = new Set<PolicyPod>();
    for (const [, policy] of new Map(isolating.map((each) => [selectorText(each.pods), each]))) {
      if (isolated.size === all.length) break;
      for (const pod of pods.selected({ namespaces: namespace, pods: policy.pods })) isolated.add(pod);
    }
    const open = all.filter((pod) => !isolated.has(pod) && !isDenied(pod)).map(({ name }) => name);
    if (open.length === 0) return [];
    const message = `${openText(open.sort(), all.length, direction)}, ${isolating.length === 0 ? "no policy of the namespace is about it" : "no policy selects them"}`;
    return [{ kind: "not-isolated", namespace, direction, pods: open, message }];
  });
}

function openText(open: readonly string[], all: number, direction: PolicyDirection): string {
  const some = all === 1 ? "its only pod" : `all ${all} pods`;
  const who = open.length === all ? some : `${open.length} of ${all} pods`;
  const what = direction === "ingress" ? "anybody may dial" : "may dial anybody";
  return direction === "ingress" ? `${what} ${who} (${listText(open)})` : `${who} (${listText(open)}) ${what}`;
}

function shadowed(policies: readonly ClusterPolicy[], { namespaces }: AuditInput): Finding[] {
  const found = DIRECTIONS.flatMap((direction) => shadowedRules(policies, direction, namespaces));
  return found.map(({ policy, direction, rule, by, same }) => {
    const { namespace, name } = policy;
    const other =
      by.policy === policy
        ? `${by.direction} rule ${by.rule} of the same policy`
        : `${by.direction} rule ${by.rule} of ${namespace}/${by.policy.name}`;
    const message = same
      ? `says the same as ${other}`
      : `changes nothing: ${other} admits all that it admits, for the same pods`;
    return {
      ...{ kind: "shadowed-rule", namespace, policy: name, direction, rule, message },
      by: { policy: by.policy.name, rule: by.rule },
    };
  });
}
