/** Policies and pods that differ in everything; the same ones for the same numbers. */

import type { ClusterNode, Labels } from "../../../model/cluster.ts";
import {
  type ClusterNetworkPolicy,
  POLICY_TIERS,
  TIER_ACTIONS,
  type TierPeer,
  type TierRule,
} from "../../../model/cluster-network-policy.ts";
import type { ClusterPolicy, PolicyPeer, PolicyPod, PolicyPort, PolicyRule } from "../../../model/policy.ts";
import { type Requirement, type Selector, sortedSelector } from "../../../model/selector.ts";
import type { Random } from "../../services/testing/random-services.ts";
import type { PolicyInput } from "../table.ts";

const NAMESPACES = ["x", "y", "z"] as const;
export const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
export const PORTS = [80, 81, 443, 8080, 65_535] as const;
const BLOCKS = [
  { prefix: "0.0.0.0/0", except: ["10.244.2.0/24"] },
  { prefix: "10.244.0.0/16", except: ["10.244.1.0/30", "10.244.2.2/32"] },
  { prefix: "198.51.100.0/24", except: [] },
  { prefix: "::/0", except: ["fd00:10:244:2::/64"] },
  { prefix: "fd00:10:244:1::/64", except: [] },
] as const;

export const pick = <T>(random: Random, values: readonly T[]): T => values[random(values.length)] as T;
const list = <T>(random: Random, most: number, make: () => T): T[] => Array.from({ length: random(most + 1) }, make);

function randomLabels(random: Random): Labels {
  const labels: Record<string, string> = {};
  for (const key of ["app", "tier"]) if (random(4) > 0) labels[key] = pick(random, ["a", "b", "c"]);
  return labels;
}

function randomSelector(random: Random): Selector {
  const requirement = (): Requirement => {
    const operator = pick(random, ["In", "NotIn", "Exists", "DoesNotExist"] as const);
    const takesValues = operator === "In" || operator === "NotIn";
    const values = takesValues ? [pick(random, ["a", "b", "c"]), pick(random, ["a", "b", "c"])] : [];
    return { key: pick(random, ["app", "tier"]), operator, values };
  };
  return sortedSelector(list(random, 2, requirement));
}

function randomPort(random: Random): PolicyPort {
  const protocol = pick(random, PROTOCOLS);
  const port = pick(random, PORTS);
  if (random(4) === 0) return { protocol };
  if (random(3) === 0) return { protocol, port: pick(random, ["http", "dns"]) };
  return random(3) === 0 ? { protocol, port, endPort: Math.min(65_535, port + random(8000)) } : { protocol, port };
}

function randomPeer(random: Random): PolicyPeer {
  if (random(3) === 0) return { kind: "block", ...pick(random, BLOCKS) };
  const pods = randomSelector(random);
  return random(2) === 0 ? { kind: "pods", pods } : { kind: "pods", namespaces: randomSelector(random), pods };
}

function randomRule(random: Random): PolicyRule {
  return {
    ...(random(4) > 0 && { peers: list(random, 3, () => randomPeer(random)) }),
    ...(random(3) > 0 && { ports: list(random, 3, () => randomPort(random)) }),
  };
}

function randomPolicy(random: Random, name: string): ClusterPolicy {
  return {
    ...{ namespace: pick(random, NAMESPACES), name, uid: name, pods: randomSelector(random) },
    ...(random(4) > 0 && { ingress: list(random, 3, () => randomRule(random)) }),
    ...(random(2) > 0 && { egress: list(random, 3, () => randomRule(random)) }),
  };
}

function randomPod(random: Random, number: number): PolicyPod {
  const node = 1 + (number % 2);
  const names = (["http", "dns"] as const).filter(() => random(3) > 0);
  return {
    ...{ namespace: pick(random, NAMESPACES), name: `pod${number}`, labels: randomLabels(random) },
    ...{ nodeName: `node${node}`, ips: [`10.244.${node}.${number + 1}`, `fd00:10:244:${node}::${number + 1}`] },
    ports: names.map((name) => ({ name, protocol: pick(random, PROTOCOLS), port: pick(random, PORTS) })),
  };
}

/** Nine pods on two nodes, seen from node1. */
export function randomPolicyInput(random: Random): PolicyInput {
  return {
    nodeName: "node1",
    pods: Array.from({ length: 9 }, (_, i) => randomPod(random, i)),
    namespaces: new Map(NAMESPACES.map((name) => [name, randomLabels(random)])),
    policies: Array.from({ length: random(6) }, (_, i) => randomPolicy(random, `policy${i}`)),
  };
}

function randomTierPeer(random: Random, direction: "ingress" | "egress"): TierPeer {
  if (direction === "egress" && random(4) === 0) return { kind: "nodes", nodes: randomSelector(random) };
  if (direction === "egress" && random(3) === 0) return { kind: "block", ...pick(random, BLOCKS), except: [] };
  return { kind: "pods", namespaces: randomSelector(random), pods: random(3) > 0 ? [] : randomSelector(random) };
}

/** Of one rule all ports have names, or none, as the API wants it where networks may be among the peers. */
function randomTierPorts(random: Random, peers: readonly TierPeer[]): PolicyPort[] {
  const port = pick(random, ["http", "dns"]);
  if (random(4) === 0 && peers.every(({ kind }) => kind === "pods")) {
    return PROTOCOLS.map((protocol) => ({ protocol, port }));
  }
  const ports = list(random, 3, () => randomPort(random));
  return ports.map((each) => (typeof each.port === "string" ? { protocol: each.protocol, port: 80 } : each));
}

function randomTierRule(random: Random, direction: "ingress" | "egress"): TierRule {
  const rule = { name: pick(random, ["", "named"]), action: pick(random, TIER_ACTIONS) };
  // What was not understood has neither.
  if (random(8) === 0) return rule;
  const peers = list(random, 3, () => randomTierPeer(random, direction));
  return { ...rule, peers, ...(random(2) > 0 && { ports: randomTierPorts(random, peers) }) };
}

function randomClusterPolicy(random: Random, name: string): ClusterNetworkPolicy {
  return {
    ...{ name, uid: name, generation: 1, tier: pick(random, POLICY_TIERS), priority: random(3) - 1 },
    subject: { namespaces: random(2) > 0 ? [] : randomSelector(random), pods: randomSelector(random) },
    ingress: list(random, 3, () => randomTierRule(random, "ingress")),
    egress: list(random, 3, () => randomTierRule(random, "egress")),
  };
}

export const NODES: readonly ClusterNode[] = [1, 2].map((number) => ({
  name: `node${number}`,
  internalIps: [`192.168.1.${number}`, `fd00:1::${number}`],
  ...(number === 2 && { externalIps: ["203.0.113.2"] }),
  podCidrs: [],
  labels: { app: number === 1 ? "a" : "b" },
}));

/** The same with ClusterNetworkPolicies. */
export function randomTieredInput(random: Random): PolicyInput {
  const count = random(5);
  return {
    ...randomPolicyInput(random),
    clusterNetworkPolicies: Array.from({ length: count }, (_, i) => randomClusterPolicy(random, `cluster${i}`)),
    nodes: new Map(NODES.map((node) => [node.name, node])),
  };
}

/** The same in another order wherever order means nothing. */
export function shuffled(random: Random, input: PolicyInput): PolicyInput {
  const shuffle = <T>(values: readonly T[]): T[] =>
    values
      .map((value) => ({ value, at: random(1 << 20) }))
      .sort((a, b) => a.at - b.at)
      .map(({ value }) => value);
  return {
    nodeName: input.nodeName,
    pods: shuffle(input.pods).map((pod) => ({ ...pod, ports: shuffle(pod.ports) })),
    namespaces: new Map(shuffle([...input.namespaces])),
    policies: shuffle(input.policies),
    ...(input.clusterNetworkPolicies && { clusterNetworkPolicies: shuffle(input.clusterNetworkPolicies) }),
    ...(input.nodes && { nodes: new Map(shuffle([...input.nodes])) }),
  };
}
