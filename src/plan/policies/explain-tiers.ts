/**
 * What would admit a connection that a ClusterNetworkPolicy denies: an Accept rule of the same tier, in a policy of its own
 * right before the one that denies. Another NetworkPolicy would not help: Admin is looked at before them, and below them, in
 * Baseline, it would isolate the pod for everything else.
 */
import { byPrecedence, type ClusterNetworkPolicy } from "../../model/cluster-network-policy.ts";
import type { PolicyCluster, TierRuleName } from "./explain.ts";
import { chooseBlocks, choosePods, freeName, wayName } from "./explain-choice.ts";
import type { DeniedEnds, Remedies, Suggestion } from "./explain-suggestion.ts";

export function suggestTierRule(ends: DeniedEnds, cluster: PolicyCluster): Remedies {
  const first = firstDenial(ends, cluster);
  if (first === undefined) return { suggestions: [], advice: [] };
  const instead = whyNoRule(ends, first);
  if (instead !== undefined) return { suggestions: [], advice: [instead] };
  return { suggestions: [acceptBefore(first.policy, ends, cluster)], advice: [] };
}

interface Denial {
  readonly denial: TierRuleName;
  readonly policy: ClusterNetworkPolicy;
}

/** What to do where no rule of another policy could come first; undefined where one can. */
function whyNoRule({ direction, peer }: DeniedEnds, { denial, policy }: Denial): string | undefined {
  const rule = `${direction} rule ${denial.rule} of ClusterNetworkPolicy ${denial.policy}`;
  if (policy.priority < 0) return `${denial.policy} is not understood, so it comes first and only denies: correct it`;
  if (direction === "ingress" && peer.pod === undefined)
    return `ingress rules of ClusterNetworkPolicies name no addresses, so none can accept ${peer.name}: change ${rule}`;
  if (policy.priority === 0)
    return `nothing comes before priority 0: put an Accept rule for ${peer.name} before ${rule}`;
  return undefined;
}

function acceptBefore(before: ClusterNetworkPolicy, ends: DeniedEnds, cluster: PolicyCluster): Suggestion {
  const { direction, question, own } = ends;
  const subject = choosePods(own.pod, cluster);
  const chosen = tierPeers(ends, cluster);
  const protocol = question.protocol.toLowerCase();
  const taken = new Set((cluster.clusterNetworkPolicies ?? []).map((each) => each.name));
  const way = wayName(direction, subject.word, chosen.word);
  const { namespaceSelector, podSelector } = subject;
  const accept = {
    action: "Accept",
    [direction === "ingress" ? "from" : "to"]: chosen.peers,
    protocols: [{ [protocol]: { destinationPort: { number: question.port } } }],
  };
  return {
    direction,
    policy: {
      apiVersion: "policy.networking.k8s.io/v1alpha2",
      kind: "ClusterNetworkPolicy",
      metadata: { name: freeName(way, `${protocol}-${question.port}-${direction}`, taken) },
      spec: {
        tier: before.tier,
        priority: before.priority - 1,
        subject: { pods: { namespaceSelector, podSelector } },
        [direction]: [accept],
      },
    },
    selects: subject.selected,
    admits: chosen.admits,
    remarks: [...subject.remarks, ...chosen.remarks],
  };
}

/** Of several denials, over two families, the one that is looked at first. */
function firstDenial({ sides }: DeniedEnds, { clusterNetworkPolicies = [] }: PolicyCluster): Denial | undefined {
  const denials = sides.flatMap(({ matched }) => {
    const denial = matched.at(-1);
    const policy = clusterNetworkPolicies.find(({ name }) => name === denial?.policy);
    return denial === undefined || policy === undefined ? [] : [{ denial, policy }];
  });
  return denials.sort((a, b) => byPrecedence(a.policy, b.policy))[0];
}

function tierPeers({ peer, peerIps }: DeniedEnds, cluster: PolicyCluster) {
  if (peer.pod === undefined) {
    const { word, cidrs, remarks } = chooseBlocks(peer, peerIps);
    return { word, peers: [{ networks: cidrs }], admits: cidrs, remarks };
  }
  const { word, namespaceSelector, podSelector, selected, remarks } = choosePods(peer.pod, cluster);
  return { word, peers: [{ pods: { namespaceSelector, podSelector } }], admits: selected, remarks };
}
