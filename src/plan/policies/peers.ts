/** Pods that policies speak of: some namespaces, some labels. */
import { hash } from "node:crypto";
import type { Labels } from "../../model/cluster.ts";
import type { PolicyPeer, PolicyPod } from "../../model/policy.ts";
import { matchesSelector, type Selector, selectorText } from "../../model/selector.ts";

/** Pods of some namespaces, by labels. */
export interface PodSelection {
  /** The one namespace, or a selector of namespaces. */
  readonly namespaces: string | Selector;
  readonly pods: Selector;
}

export interface ClusterPods {
  readonly pods: readonly PolicyPod[];
  /** Labels by namespace. */
  readonly namespaces: ReadonlyMap<string, Labels>;
}

export function selectionOf(peer: Extract<PolicyPeer, { kind: "pods" }>, ownNamespace: string): PodSelection {
  return { namespaces: peer.namespaces ?? ownNamespace, pods: peer.pods };
}

export function selectionText({ namespaces, pods }: PodSelection): string {
  const where = typeof namespaces === "string" ? `namespace ${namespaces}` : `namespaces ${selectorText(namespaces)}`;
  return `${where}; pods ${selectorText(pods)}`;
}

export function isSelected(
  { namespaces, pods }: PodSelection,
  pod: PolicyPod,
  cluster: Pick<ClusterPods, "namespaces">,
): boolean {
  if (typeof namespaces === "string" && pod.namespace !== namespaces) return false;
  if (!matchesSelector(pods, pod.labels)) return false;
  if (typeof namespaces === "string") return true;
  const labels = cluster.namespaces.get(pod.namespace);
  return labels !== undefined && matchesSelector(namespaces, labels);
}

/** Equal texts have equal digests: 10 hexadecimal digits, so that names fit the kernel's. */
export function digest(text: string): string {
  return hash("sha256", text, "hex").slice(0, 10);
}
