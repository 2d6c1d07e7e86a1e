/**
 * The smallest policies that admit a denied connection at one end: one port, one peer, and no pod isolated that was not.
 * "Small" is what they admit: of pods those alone that cannot be told from the peer by labels that last.
 */
import type { PolicyDirection } from "../../model/policy.ts";
import type { Party, PolicyCluster, Question, Side, Way } from "./explain.ts";
import { chooseBlocks, chooseIsolated, choosePods, choosePodsInside, freeName, wayName } from "./explain-choice.ts";
import { suggestTierRule } from "./explain-tiers.ts";

/** An object for kubectl apply. */
export interface PolicyObject {
  readonly apiVersion: string;
  readonly kind: "NetworkPolicy" | "ClusterNetworkPolicy";
  readonly metadata: { readonly namespace?: string; readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

export interface Suggestion {
  readonly direction: PolicyDirection;
  readonly policy: PolicyObject;
  /** Pods that it is about now, "namespace/name". */
  readonly selects: readonly string[];
  /** Pods, or blocks, that it admits now. */
  readonly admits: readonly string[];
  /** What is to be known before it is applied, a sentence each. */
  readonly remarks: readonly string[];
}

export interface Remedies {
  readonly suggestions: readonly Suggestion[];
  /** What has to be changed where no new policy helps. */
  readonly advice: readonly string[];
}

/** One suggestion for each tier that denies at this end: addresses of two families may be denied by two. */
export function suggest(
  direction: PolicyDirection,
  question: Question,
  ways: readonly Way[],
  cluster: PolicyCluster,
): Remedies {
  const peer = direction === "ingress" ? question.from : question.to;
  const denied = Map.groupBy(
    ways.filter((way) => !way[direction].admitted),
    (way) => way[direction].tier,
  );
  const found = new Map(
    [...denied].map(([tier, some]) => [tier, remediesOf(tier, endsOf(direction, question, some), cluster)]),
  );
  const admin = found.get("Admin");
  // Labels mean both families, and what Admin accepts nobody else is asked about.
  const holdsAll = peer.pod !== undefined && admin?.suggestions.length === 1;
  const needed = holdsAll ? [admin] : [...found.values()];
  return {
    suggestions: needed.flatMap(({ suggestions }) => suggestions),
    advice: needed.flatMap(({ advice }) => advice),
  };
}

function remediesOf(tier: Side["tier"], ends: DeniedEnds | undefined, cluster: PolicyCluster): Remedies {
  if (ends === undefined) return { suggestions: [], advice: [] };
  if (tier === "NetworkPolicy") return { suggestions: [suggestPolicy(ends, cluster)], advice: [] };
  return suggestTierRule(ends, cluster);
}

/** The two ends of what one end denies. */
export interface DeniedEnds {
  readonly direction: PolicyDirection;
  readonly question: Question;
  readonly own: Party & { readonly pod: NonNullable<Party["pod"]> };
  readonly peer: Party;
  /** The peer's addresses from, or to, which it is denied. */
  readonly peerIps: readonly string[];
  readonly sides: readonly Side[];
}

function endsOf(direction: PolicyDirection, question: Question, ways: readonly Way[]): DeniedEnds | undefined {
  const [own, peer] = direction === "ingress" ? [question.to, question.from] : [question.from, question.to];
  const { pod } = own;
  if (pod === undefined) return undefined;
  return {
    ...{ direction, question, own: { ...own, pod }, peer },
    peerIps: ways.map((way) => (direction === "ingress" ? way.from : way.to)),
    sides: ways.map((way) => way[direction]),
  };
}

function suggestPolicy({ direction, question, own, peer, peerIps }: DeniedEnds, cluster: PolicyCluster): Suggestion {
  const { protocol, port } = question;
  const target = chooseIsolated(direction, own.pod, cluster);
  const { namespace } = own.pod;
  const source = choosePeer(peer, peerIps, namespace, cluster);
  const taken = new Set(cluster.policies.flatMap((each) => (each.namespace === namespace ? [each.name] : [])));
  const what = `${protocol.toLowerCase()}-${port}-${direction}`;
  const rule = { [direction === "ingress" ? "from" : "to"]: source.peers, ports: [{ protocol, port }] };
  return {
    direction,
    policy: {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { namespace, name: freeName(wayName(direction, target.word, source.word), what, taken) },
      spec: {
        podSelector: target.podSelector,
        policyTypes: [direction === "ingress" ? "Ingress" : "Egress"],
        [direction]: [rule],
      },
    },
    selects: target.selected,
    admits: source.admits,
    remarks: [...target.remarks, ...source.remarks],
  };
}

interface ChosenPeer {
  readonly word: string;
  readonly peers: readonly object[];
  readonly admits: readonly string[];
  readonly remarks: readonly string[];
}

function choosePeer(peer: Party, ips: readonly string[], namespace: string, cluster: PolicyCluster): ChosenPeer {
  if (peer.pod === undefined) {
    const { word, cidrs, remarks } = chooseBlocks(peer, ips);
    return { word, peers: cidrs.map((cidr) => ({ ipBlock: { cidr } })), admits: cidrs, remarks };
  }
  if (peer.pod.namespace === namespace) {
    const { word, podSelector, selected, remarks } = choosePodsInside(peer.pod, cluster);
    return { word, peers: [{ podSelector }], admits: selected, remarks };
  }
  const { word, namespaceSelector, podSelector, selected, remarks } = choosePods(peer.pod, cluster);
  return { word, peers: [{ namespaceSelector, podSelector }], admits: selected, remarks };
}
