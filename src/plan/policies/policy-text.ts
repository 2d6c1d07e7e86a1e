/** Peers, ports and selectors of policies in words, for people: `pods app=web of namespace shop`, `TCP 80, UDP dns`. */
import type { Labels } from "../../model/cluster.ts";
import type { TierPeer } from "../../model/cluster-network-policy.ts";
import type { PolicyPort, PolicyRule } from "../../model/policy.ts";
import { type Selector, selectorText } from "../../model/selector.ts";

/** Long lists help nobody who reads them. */
const SHOWN = 5;

/** The first of a list, and how many more there are. */
export function listText(items: readonly string[], shown = SHOWN): string {
  const more = items.length > shown ? ` and ${items.length - shown} more` : "";
  return `${items.slice(0, shown).join(", ")}${more}`;
}

/** As kubectl takes it: `app=web,tier in (a, b),!legacy`. */
export function selectorWords(selector: Selector): string {
  return selector
    .map((each) => {
      const [value] = each.values;
      return each.operator === "In" && each.values.length === 1 ? `${each.key}=${value}` : selectorText([each]);
    })
    .join(",");
}

export function labelsText(labels: Labels): string {
  const words = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return words.length === 0 ? "no labels" : words.sort().join(", ");
}

/** @param namespace that of the policy */
export function peerText(peer: TierPeer, namespace: string): string {
  if (peer.kind === "nodes") return peer.nodes.length === 0 ? "all nodes" : `nodes ${selectorWords(peer.nodes)}`;
  if (peer.kind === "block") {
    return peer.except.length === 0 ? peer.prefix : `${peer.prefix} except ${listText(peer.except)}`;
  }
  const pods = peer.pods.length === 0 ? "all pods" : `pods ${selectorWords(peer.pods)}`;
  if (peer.namespaces === undefined) return `${pods} of namespace ${namespace}`;
  const where = peer.namespaces.length === 0 ? "all namespaces" : `namespaces ${selectorWords(peer.namespaces)}`;
  return `${pods} of ${where}`;
}

export function peersText({ peers }: Pick<PolicyRule, "peers">, namespace: string): string {
  if (peers === undefined) return "anybody";
  return peers.length === 0 ? "nobody" : listText(peers.map((peer) => peerText(peer, namespace)));
}

export function portText({ protocol, port, endPort }: PolicyPort): string {
  if (port === undefined) return `every ${protocol} port`;
  if (typeof port === "string") return `${protocol} "${port}"`;
  return endPort === undefined || endPort === port ? `${protocol} ${port}` : `${protocol} ${port}-${endPort}`;
}

export function portsText({ ports }: Pick<PolicyRule, "ports">): string {
  if (ports === undefined) return "every port";
  return ports.length === 0 ? "no port" : listText(ports.map(portText));
}
