/** The chain of a pod's direction: what any of its policies admits returns, the rest is counted and dropped. */
import type { Family } from "../../model/ip.ts";
import type { NftField, NftRule, NftStatement } from "../../model/nft.ts";
import type { ClusterPolicy, PolicyPeer, PolicyPod, PolicyPort, PolicyRule } from "../../model/policy.ts";
import { type PeerSets, selectionOf } from "./peers.ts";

export type Direction = "ingress" | "egress";

const PROTOCOL_NUMBERS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
/** Longest comment that nft keeps of a rule. */
const COMMENT_LENGTH = 127;

export function directionRules(
  direction: Direction,
  policies: readonly ClusterPolicy[],
  pod: PolicyPod,
  sets: PeerSets,
  family: Family,
): NftRule[] {
  const compiler = new RuleCompiler(direction, pod, sets, family);
  const admitted = policies.flatMap((policy) =>
    (policy[direction] ?? []).flatMap((rule, i) =>
      compiler.alternatives(policy, rule).map((statements) => ({
        statements: [...statements, { verdict: "return" } as const],
        comment: `${policy.namespace}/${policy.name} ${direction} rule ${i + 1}`.slice(0, COMMENT_LENGTH),
      })),
    ),
  );
  const names = policies.map(({ namespace, name }) => `${namespace}/${name}`).join(", ");
  const denied: NftRule = {
    statements: [{ counter: true }, { verdict: "drop" }],
    comment: `denied by ${names}`.slice(0, COMMENT_LENGTH),
  };
  return [...admitted, denied];
}

/** Numbers of the pod's named ports that its policies speak of: pods that differ in them cannot share a chain. */
export function resolvedNames(policies: readonly ClusterPolicy[], pod: PolicyPod): string {
  const names = new Set<string>();
  for (const { ingress = [] } of policies) {
    for (const { ports = [] } of ingress) {
      for (const { port, protocol } of ports) if (typeof port === "string") names.add(`${protocol} ${port}`);
    }
  }
  return pod.ports
    .filter(({ name, protocol }) => names.has(`${protocol} ${name}`))
    .map(({ name, protocol, port }) => `${protocol} ${name} ${port}`)
    .sort()
    .join(" ");
}

class RuleCompiler {
  readonly #direction: Direction;
  readonly #pod: PolicyPod;
  readonly #sets: PeerSets;
  readonly #peerField: NftField;
  readonly #destination: NftField;

  constructor(direction: Direction, pod: PolicyPod, sets: PeerSets, family: Family) {
    this.#direction = direction;
    this.#pod = pod;
    this.#sets = sets;
    const [source, destination] =
      family === 4 ? (["ip saddr", "ip daddr"] as const) : (["ip6 saddr", "ip6 daddr"] as const);
    this.#peerField = direction === "ingress" ? source : destination;
    this.#destination = destination;
  }

  /** Statements that admit a packet, in any of the alternatives: each peer with each port. */
  alternatives(policy: ClusterPolicy, rule: PolicyRule): NftStatement[][] {
    const peers = rule.peers ?? [undefined];
    const ports = rule.ports ?? [undefined];
    return peers.flatMap((peer) => ports.flatMap((port) => this.#pair(policy, peer, port)));
  }

  #pair(policy: ClusterPolicy, peer: PolicyPeer | undefined, port: PolicyPort | undefined): NftStatement[][] {
    if (typeof port?.port === "string" && this.#direction === "egress") return this.#namedEgress(policy, peer, port);
    const from = this.#peer(policy, peer);
    if (from === undefined) return [];
    return this.#ports(port).map((statements) => [...statements, ...from]);
  }

  /** Undefined for a block of the other family. */
  #peer(policy: ClusterPolicy, peer: PolicyPeer | undefined): NftStatement[] | undefined {
    if (peer === undefined) return [];
    const set =
      peer.kind === "pods"
        ? this.#sets.pods(selectionOf(peer, policy.namespace))
        : this.#sets.block(peer.prefix, peer.except);
    return set === undefined ? undefined : [{ lookup: this.#peerField, set }];
  }

  #ports(port: PolicyPort | undefined): NftStatement[][] {
    if (port === undefined) return [[]];
    const protocol: NftStatement = { match: "meta l4proto", op: "==", value: PROTOCOL_NUMBERS[port.protocol] };
    const equal = (number: number): NftStatement[] => [protocol, { match: "th dport", op: "==", value: number }];
    if (port.port === undefined) return [[protocol]];
    if (typeof port.port === "string") {
      const own = this.#pod.ports.filter(({ name, protocol: of }) => name === port.port && of === port.protocol);
      return own.map((each) => equal(each.port));
    }
    if (port.endPort === undefined || port.endPort === port.port) return [equal(port.port)];
    return [
      [
        protocol,
        { match: "th dport", op: ">", value: port.port - 1 },
        // Nothing is above the last port there is.
        ...(port.endPort === 65_535 ? [] : [{ match: "th dport", op: "<", value: port.endPort + 1 } as const]),
      ],
    ];
  }

  /** A name means another number for each pod that is dialled; outside of pods it means nothing. */
  #namedEgress(policy: ClusterPolicy, peer: PolicyPeer | undefined, port: PolicyPort): NftStatement[][] {
    if (peer?.kind === "block") return [];
    const selection = peer && selectionOf(peer, policy.namespace);
    const set = this.#sets.namedPorts(selection, port.protocol, String(port.port));
    return [[{ lookup: [this.#destination, "meta l4proto", "th dport"], set }]];
  }
}
