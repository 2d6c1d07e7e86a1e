/** By which selectors or blocks a suggested rule means the ends of a connection, and whom else it means with them. */
import type { Labels } from "../../model/cluster.ts";
import type { Ip } from "../../model/ip.ts";
import type { ClusterPolicy, PolicyDirection, PolicyPod } from "../../model/policy.ts";
import { hostPrefix, type Prefix } from "../../model/prefix.ts";
import { matchesSelector, type Requirement, type Selector } from "../../model/selector.ts";
import type { Party, PolicyCluster } from "./explain.ts";
import { distinguishingLabels } from "./explain-labels.ts";

/** The label that every namespace has since Kubernetes 1.21, and that nobody can change. */
export const NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name";

/** meta/v1 LabelSelector. */
export interface LabelSelectorObject {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

interface Chosen {
  /** What the policy's name calls it. */
  readonly word: string;
  /** What is to be known of the choice, a sentence each. */
  readonly remarks: readonly string[];
}

export interface ChosenPods extends Chosen {
  readonly podSelector: LabelSelectorObject;
  readonly namespaceSelector: LabelSelectorObject;
  /** Pods that both select now, "namespace/name". */
  readonly selected: readonly string[];
}

export interface ChosenBlocks extends Chosen {
  readonly cidrs: readonly Prefix[];
}

/** The pod, and what lasting labels cannot tell from it. */
export function choosePods(pod: PolicyPod, cluster: PolicyCluster): ChosenPods {
  const labels = lastingLabels(pod, cluster);
  const ofNamespace = namespaceLabels(pod.namespace, cluster);
  const inside = [...cluster.namespaces].flatMap(([name, each]) => (hasLabels(each, ofNamespace) ? [name] : []));
  const selected = cluster.pods.filter((each) => inside.includes(each.namespace) && hasLabels(each.labels, labels));
  const foreign = inside.find((name) => name !== pod.namespace);
  const remarks = [
    ...unlabelled(pod, labels),
    ...(foreign === undefined ? [] : [`no label tells namespace ${pod.namespace} from ${foreign}: give it one`]),
  ];
  return {
    word: wordOf(pod, labels),
    podSelector: selectorOf(labels),
    namespaceSelector: selectorOf(ofNamespace),
    selected: selected.map(podName),
    remarks,
  };
}

/** The same among the pods of one namespace, by a policy of that namespace. */
export function choosePodsInside(pod: PolicyPod, cluster: PolicyCluster): Omit<ChosenPods, "namespaceSelector"> {
  const labels = lastingLabels(pod, cluster);
  const selected = cluster.pods.filter((each) => each.namespace === pod.namespace && hasLabels(each.labels, labels));
  const remarks = unlabelled(pod, labels);
  return { word: wordOf(pod, labels), podSelector: selectorOf(labels), selected: selected.map(podName), remarks };
}

/**
 * For the podSelector of a NetworkPolicy, which isolates whom it selects: the pod by its own labels, where all who have them
 * are isolated already. If not, whom the smallest of the policies selects that select the pod.
 */
export function chooseIsolated(
  direction: PolicyDirection,
  pod: PolicyPod,
  cluster: PolicyCluster,
): Omit<ChosenPods, "namespaceSelector"> {
  const around = cluster.pods.filter(({ namespace }) => namespace === pod.namespace);
  const isolating = cluster.policies.filter(
    (policy) => policy.namespace === pod.namespace && policy[direction] !== undefined,
  );
  const own = choosePodsInside(pod, cluster);
  const isolated = new Set(
    around.filter(({ labels }) => isolating.some((policy) => matchesSelector(policy.pods, labels))).map(podName),
  );
  const others = own.selected.filter((name) => !isolated.has(name));
  if (others.length === 0) return own;
  const { policy, pods } = smallest(isolating, pod, around);
  const more = others.length > 1 ? ` and ${others.length - 1} more` : "";
  const why = `it selects what ${policy.namespace}/${policy.name} selects: by the labels of ${podName(pod)} it would also isolate ${others[0]}${more}, which no policy isolates for ${direction} yet`;
  return { ...own, podSelector: selectorObject(policy.pods), selected: pods.map(podName), remarks: [why] };
}

function smallest(
  policies: readonly ClusterPolicy[],
  pod: PolicyPod,
  around: readonly PolicyPod[],
): { readonly policy: ClusterPolicy; readonly pods: readonly PolicyPod[] } {
  const [least] = policies
    .filter((policy) => matchesSelector(policy.pods, pod.labels))
    .map((policy) => ({ policy, pods: around.filter(({ labels }) => matchesSelector(policy.pods, labels)) }))
    .sort((a, b) => a.pods.length - b.pods.length || (a.policy.name < b.policy.name ? -1 : 1));
  if (least === undefined) throw new RangeError(`No policy isolates ${podName(pod)}`);
  return least;
}

export function chooseBlocks(party: Party, ips: readonly Ip[]): ChosenBlocks {
  const cidrs = [...new Set(ips.map(hostPrefix))];
  const remarks =
    party.kind === "node"
      ? [`to policies ${party.name} is node ${party.nodeName}: whatever else has that node's addresses is meant too`]
      : [];
  return { word: party.kind === "node" ? (party.nodeName ?? "") : (ips[0] ?? ""), cidrs, remarks };
}

function lastingLabels(pod: PolicyPod, { pods }: PolicyCluster): Labels {
  const around = pods.filter(({ namespace }) => namespace === pod.namespace);
  return distinguishingLabels(
    pod.labels,
    around.map(({ labels }) => labels),
  );
}

function namespaceLabels(name: string, { namespaces }: PolicyCluster): Labels {
  const own = namespaces.get(name) ?? {};
  if (own[NAMESPACE_NAME_LABEL] === name) return { [NAMESPACE_NAME_LABEL]: name };
  return distinguishingLabels(own, [...namespaces.values()]);
}

function unlabelled(pod: PolicyPod, labels: Labels): string[] {
  if (Object.keys(labels).length > 0) return [];
  return [`${podName(pod)} has no labels, so all pods of its namespace are meant: give it one`];
}

function hasLabels(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

function selectorOf(labels: Labels): LabelSelectorObject {
  return Object.keys(labels).length === 0 ? {} : { matchLabels: labels };
}

/** A parsed selector as the API has it. */
function selectorObject(selector: Selector): LabelSelectorObject {
  const isLabel = (each: Requirement) =>
    each.operator === "In" &&
    each.values.length === 1 &&
    selector.every((other) => other === each || other.operator !== "In" || other.key !== each.key);
  const labels = selector.filter(isLabel).map(({ key, values }) => [key, values[0] ?? ""]);
  const expressions = selector
    .filter((each) => !isLabel(each))
    .map(({ key, operator, values }) => (values.length === 0 ? { key, operator } : { key, operator, values }));
  return {
    ...(labels.length > 0 && { matchLabels: Object.fromEntries(labels) }),
    ...(expressions.length > 0 && { matchExpressions: expressions }),
  };
}

function wordOf(pod: PolicyPod, labels: Labels): string {
  return labels["app"] ?? labels["app.kubernetes.io/name"] ?? labels["k8s-app"] ?? pod.name;
}

export function podName({ namespace, name }: Pick<PolicyPod, "namespace" | "name">): string {
  return `${namespace}/${name}`;
}

/** "web-to-redis", whoever of them is the own end. */
export function wayName(direction: PolicyDirection, own: string, peer: string): string {
  return direction === "ingress" ? `${peer}-to-${own}` : `${own}-to-${peer}`;
}

/** Names of objects are DNS names of at most 253 characters; this one stays short enough to read. */
const NAME_LENGTH = 63;

/** A name that no object has yet. @param who shortened where it is too long @param what kept as it is */
export function freeName(who: string, what: string, taken: ReadonlySet<string>): string {
  // Two ends of a number stay free, should the name be taken.
  const room = NAME_LENGTH - what.length - 5;
  const plain = who
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, room)
    .replaceAll(/^-+|-+$/g, "");
  const base = `${plain || "allow"}-${what}`;
  for (let i = 1; ; i++) {
    const name = i === 1 ? base : `${base}-${i}`;
    if (!taken.has(name)) return name;
  }
}
