/** Policies that select nothing, and peers that match nothing, each with the reason; of both kinds of policies. */
import type { Labels } from "../../model/cluster.ts";
import type { ClusterNetworkPolicy, TierPeer } from "../../model/cluster-network-policy.ts";
import type { ClusterPolicy, PolicyDirection } from "../../model/policy.ts";
import { subtractPrefixes } from "../../model/prefix.ts";
import { matchesSelector, type Selector } from "../../model/selector.ts";
import type { AuditContext, Finding } from "./audit.ts";
import { type PodSelection, selectionOf } from "./peers.ts";
import { listText, peerText, selectorWords } from "./policy-text.ts";

/** What of a policy matches something. */
interface Matching {
  /** "" for a ClusterNetworkPolicy. */
  readonly namespace: string;
  readonly policy: string;
  readonly selects: PodSelection;
  readonly rules: Readonly<Record<PolicyDirection, readonly { readonly peers?: readonly TierPeer[] }[]>>;
}

export function matchingOf({ namespace, name, pods, ingress = [], egress = [] }: ClusterPolicy): Matching {
  return { namespace, policy: name, selects: { namespaces: namespace, pods }, rules: { ingress, egress } };
}

export function clusterMatchingOf({ name, subject, ingress, egress }: ClusterNetworkPolicy): Matching {
  return { namespace: "", policy: name, selects: subject, rules: { ingress, egress } };
}

export function selectsNothing({ namespace, policy, selects }: Matching, context: AuditContext): Finding[] {
  const why = noPods(selects, context);
  if (why === undefined) return [];
  return [{ kind: "selects-nothing", namespace, policy, message: `selects no pod: ${why}` }];
}

export function peersWithoutMatch({ namespace, policy, rules }: Matching, context: AuditContext): Finding[] {
  return (["ingress", "egress"] as const).flatMap((direction) =>
    rules[direction].flatMap(({ peers = [] }, r) =>
      peers.flatMap((peer, p): Finding[] => {
        const why = noMatch(peer, namespace, context);
        if (why === undefined) return [];
        const message = `its peer ${peerText(peer, namespace)} matches nothing: ${why}`;
        return [{ kind: "peer-matches-nothing", namespace, policy, direction, rule: r + 1, peer: p + 1, message }];
      }),
    ),
  );
}

/** Undefined for a peer that matches something. */
function noMatch(peer: TierPeer, namespace: string, context: AuditContext): string | undefined {
  if (peer.kind === "pods") return noPods(selectionOf(peer, namespace), context);
  if (peer.kind === "nodes") return noNodes(peer.nodes, context);
  const { prefix, except } = peer;
  const isEmpty = except.length > 0 && subtractPrefixes(prefix, except).length === 0;
  return isEmpty ? "its exceptions leave no address of it" : undefined;
}

function noPods(selection: PodSelection, { pods, hostPods, input }: AuditContext): string | undefined {
  if (pods.selected(selection).length > 0) return undefined;
  const { namespaces, pods: selector } = selection;
  if (typeof namespaces !== "string" && pods.namespaces(namespaces).length === 0)
    return `no namespace has ${missingOf(namespaces, [...input.namespaces.values()])}`;
  const onHost = hostPods.selected(selection);
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

function noNodes(selector: Selector, { input }: AuditContext): string | undefined {
  const all = [...(input.nodes?.values() ?? [])].map(({ labels }) => labels);
  if (all.some((labels) => matchesSelector(selector, labels))) return undefined;
  return all.length === 0 ? "there are no nodes" : `no node has ${missingOf(selector, all)}`;
}

/** The requirement that nobody meets; all of them where each is met by somebody. */
function missingOf(selector: Selector, all: readonly Labels[]): string {
  const missing = selector.find((requirement) => !all.some((labels) => matchesSelector([requirement], labels)));
  return selectorWords(missing === undefined ? selector : [missing]);
}
