/**
 * What the policies of a pod's direction admit, put together by port: who may come on every port, on every port of a
 * protocol, on a range, on one port. Policies add to each other, so their order means nothing.
 */
import type {
  ClusterPolicy,
  PolicyDirection,
  PolicyPeer,
  PolicyPod,
  PolicyPort,
  PolicyRule,
} from "../../model/policy.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import { type Block, blockText, type NamedPort, namedPortText } from "./peer-sets.ts";
import { type PodSelection, selectionOf, selectionText } from "./peers.ts";

/** Ports of one protocol, both included; without a protocol: everything, also what has no ports. */
export interface PortRange {
  readonly protocol?: ServiceProtocol;
  readonly first?: number;
  readonly last?: number;
}

/** Who is admitted on some ports. */
export class Admitted {
  readonly ports: PortRange;
  anybody = false;
  readonly selections = new Map<string, PodSelection>();
  readonly blocks = new Map<string, Block>();
  /** Rules that say so: "default/web ingress rule 2". */
  readonly rules = new Set<string>();

  constructor(ports: PortRange) {
    this.ports = ports;
  }

  add(peer: PolicyPeer | undefined, namespace: string, rule: string): void {
    this.rules.add(rule);
    if (peer === undefined) this.anybody = true;
    else if (peer.kind === "block") this.blocks.set(blockText(peer), peer);
    else {
      const selection = selectionOf(peer, namespace);
      this.selections.set(selectionText(selection), selection);
    }
  }
}

export class Admissions {
  readonly #direction: PolicyDirection;
  /** Whose ports have the names that ingress rules speak of. */
  readonly #pod: PolicyPod;
  readonly #byPorts = new Map<string, Admitted>();
  /** Of pods that are dialled. */
  readonly named = new Map<string, NamedPort>();
  readonly namedRules = new Set<string>();

  constructor(direction: PolicyDirection, policies: readonly ClusterPolicy[], pod: PolicyPod) {
    this.#direction = direction;
    this.#pod = pod;
    for (const policy of policies) {
      for (const [i, rule] of (policy[direction] ?? []).entries()) {
        this.#addRule(policy, rule, `${policy.namespace}/${policy.name} ${direction} rule ${i + 1}`);
      }
    }
  }

  /** By rising ports. */
  all(): readonly Admitted[] {
    return [...this.#byPorts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, admitted]) => admitted);
  }

  #addRule(policy: ClusterPolicy, rule: PolicyRule, text: string): void {
    for (const port of rule.ports ?? [undefined]) {
      const names = typeof port?.port === "string" && this.#direction === "egress";
      for (const peer of rule.peers ?? [undefined]) {
        if (names) this.#addNamed(policy, peer, port, text);
        else for (const range of portRanges(port, this.#pod)) this.#at(range).add(peer, policy.namespace, text);
      }
    }
  }

  /** A name means another number for each pod that is dialled; outside of pods it means nothing, also in a block. */
  #addNamed(policy: ClusterPolicy, peer: PolicyPeer | undefined, port: PolicyPort, text: string): void {
    const block = peer?.kind === "block" ? peer : undefined;
    const selection = peer?.kind === "pods" ? selectionOf(peer, policy.namespace) : undefined;
    const named = { selection, block, protocol: port.protocol, port: String(port.port) };
    this.named.set(namedPortText(named), named);
    this.namedRules.add(text);
  }

  #at(range: PortRange): Admitted {
    const { protocol = "", first = -1, last = -1 } = range;
    const key = `${protocol} ${String(first).padStart(5, "0")} ${String(last).padStart(5, "0")}`;
    const known = this.#byPorts.get(key);
    if (known !== undefined) return known;
    const admitted = new Admitted(range);
    this.#byPorts.set(key, admitted);
    return admitted;
  }
}

/** @param pod whose ports have the names */
export function portRanges(port: PolicyPort | undefined, pod: PolicyPod): PortRange[] {
  if (port === undefined) return [{}];
  const { protocol, port: first, endPort } = port;
  if (first === undefined) return [{ protocol }];
  if (typeof first === "number") return [{ protocol, first, last: endPort ?? first }];
  const own = pod.ports.filter((each) => each.name === first && each.protocol === protocol);
  return own.map(({ port: number }) => ({ protocol, first: number, last: number }));
}

/** Policies of any kind, as far as the names of ports go. */
interface NamingPolicy {
  readonly ingress?: readonly Pick<PolicyRule, "ports">[];
}

/** Numbers of the pod's named ports that its policies speak of: pods that differ in them cannot share a chain. */
export function resolvedNames(policies: readonly NamingPolicy[], pod: PolicyPod): string {
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
