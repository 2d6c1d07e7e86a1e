/**
 * What of the cluster's NetworkPolicies does nothing, and whom none of them isolates. Nothing is claimed that is not so; what
 * is only likely is marked as a hint. docs/design/policies.md, section "Explain and audit".
 */
import type { ClusterPolicy, PolicyDirection, PolicyPod } from "../../model/policy.ts";
import { subtractPrefixes } from "../../model/prefix.ts";
import { matchesSelector, type Selector, selectorText } from "../../model/selector.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import { AuditPods, type LabelledPod } from "./audit-pods.ts";
import { portFindings } from "./audit-ports.ts";
import { shadowedRules } from "./audit-shadowed.ts";
import type { PolicyCluster } from "./explain.ts";
import { type PodSelection, selectionOf } from "./peers.ts";
import { listText, peerText, selectorWords } from "./policy-text.ts";
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

export const DIRECTIONS = ["ingress", "egress"] as const;

/** What audits of one cluster share. */
export interface AuditContext {
  readonly input: AuditInput;
  readonly pods: AuditPods<PolicyPod>;
  readonly hostPods: AuditPods<LabelledPod>;
}

/**
 * @param namespace the only one whose policies and pods are looked at; peers are looked for in all
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
  const found = [
    ...policies.flatMap(notUnderstood),
    ...[...new Set(input.pods.filter(isMeant).map((pod) => pod.namespace))]
      .sort()
      .flatMap((name) => notIsolated(name, byNamespace.get(name) ?? [], context)),
    ...policies.flatMap((policy) => selectsNothing(policy, context)),
    ...policies.flatMap((policy) => peersWithoutMatch(policy, context)),
    ...portFindings(policies, context),
    ...[...byNamespace.values()].flatMap((each) => shadowed(each, input)),
  ];
  return found;
}

function byName(a: ClusterPolicy, b: ClusterPolicy): number {
  const [x, y] = [`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`];
  return x < y ? -1 : x > y ? 1 : 0;
}

function notUnderstood({ namespace, name, problems = [] }: ClusterPolicy): Finding[] {
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

function selectsNothing(policy: ClusterPolicy, context: AuditContext): Finding[] {
  const { namespace, name } = policy;
  const selection: PodSelection = { namespaces: namespace, pods: policy.pods };
  if (context.pods.selected(selection).length > 0) return [];
  const message = `selects no pod: ${whyNobody(selection, context)}`;
  return [{ kind: "selects-nothing", namespace, policy: name, message }];
}

function whyNobody({ namespaces, pods: selector }: PodSelection, { pods, hostPods }: AuditContext): string {
  const onHost = hostPods.selected({ namespaces, pods: selector });
  if (onHost.length > 0) {
    const names = listText(onHost.map((pod) => `${pod.namespace}/${pod.name}`));
    return `only pods of the host network have these labels (${names}), and those are no pods to policies`;
  }
  const where = namespacesText(namespaces);
  if (pods.selected({ namespaces, pods: [] }).length === 0) return `there are no pods in ${where}`;
  const missing = selector.find((requirement) => pods.selected({ namespaces, pods: [requirement] }).length === 0);
  return `no pod of ${where} has ${selectorWords(missing === undefined ? selector : [missing])}`;
}

function namespacesText(namespaces: PodSelection["namespaces"]): string {
  if (typeof namespaces === "string") return `namespace ${namespaces}`;
  return namespaces.length === 0 ? "the cluster" : `namespaces ${selectorWords(namespaces)}`;
}

function peersWithoutMatch(policy: ClusterPolicy, context: AuditContext): Finding[] {
  const { namespace, name } = policy;
  return DIRECTIONS.flatMap((direction) =>
    (policy[direction] ?? []).flatMap(({ peers = [] }, r) =>
      peers.flatMap((peer, p): Finding[] => {
        const why =
          peer.kind === "block" ? emptyBlock(peer.prefix, peer.except) : noPods(selectionOf(peer, namespace), context);
        if (why === undefined) return [];
        const message = `its peer ${peerText(peer, namespace)} matches nothing: ${why}`;
        return [
          { kind: "peer-matches-nothing", namespace, policy: name, direction, rule: r + 1, peer: p + 1, message },
        ];
      }),
    ),
  );
}

function emptyBlock(prefix: string, except: readonly string[]): string | undefined {
  return except.length > 0 && subtractPrefixes(prefix, except).length === 0
    ? "its exceptions leave no address of it"
    : undefined;
}

function noPods(selection: PodSelection, context: AuditContext): string | undefined {
  const { pods, input } = context;
  if (pods.selected(selection).length > 0) return undefined;
  const { namespaces } = selection;
  if (typeof namespaces !== "string" && pods.namespaces(namespaces).length === 0)
    return `no namespace has ${namespaceMiss(namespaces, input)}`;
  return whyNobody(selection, context);
}

function namespaceMiss(selector: Selector, { namespaces }: AuditInput): string {
  const all = [...namespaces.values()];
  const missing = selector.find((requirement) => !all.some((labels) => matchesSelector([requirement], labels)));
  return selectorWords(missing === undefined ? selector : [missing]);
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
