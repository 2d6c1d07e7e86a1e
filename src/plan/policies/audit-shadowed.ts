/**
 * Rules that change nothing: another rule, of a policy that selects at least the same pods, admits all that they admit. It
 * is what selectors say that counts, not which pods there are now; so a rule that is shadowed stays so.
 *
 * Of rules that say the same the first stays. Whatever is reported is held by a rule that is not, so that all reported rules
 * may be removed at once.
 */
import type { Labels } from "../../model/cluster.ts";
import type { ClusterPolicy, PolicyDirection, PolicyPeer, PolicyRule } from "../../model/policy.ts";
import { type Selector, selectorText } from "../../model/selector.ts";
import {
  blockLattice,
  type Lattice,
  portLattice,
  type ReadSelector,
  readSelector,
  selectorLattice,
} from "./audit-lattice.ts";
import { NAMESPACE_NAME_LABEL } from "./explain-choice.ts";

export interface RuleName {
  readonly policy: ClusterPolicy;
  readonly direction: PolicyDirection;
  /** From 1. */
  readonly rule: number;
}

export interface ShadowedRule extends RuleName {
  /** The rule that admits all of it; itself not shadowed. */
  readonly by: RuleName;
  /** They say the same. */
  readonly same: boolean;
}

/** @param policies of one namespace, in the order in which the first of equals stays */
export function shadowedRules(
  policies: readonly ClusterPolicy[],
  direction: PolicyDirection,
  namespaces: ReadonlyMap<string, Labels>,
): ShadowedRule[] {
  const [first] = policies;
  // What a selector of namespaces matches is not known of one without labels.
  if (first === undefined || !namespaces.has(first.namespace)) return [];
  return new RuleOrder(policies, direction, ownNamespace(first.namespace, namespaces)).shadowed();
}

/** The namespace as a requirement: by its name's label where every namespace has that, as Kubernetes sees to. */
function ownNamespace(name: string, namespaces: ReadonlyMap<string, Labels>): Selector {
  const isLabelled = [...namespaces].every(([each, labels]) => labels[NAMESPACE_NAME_LABEL] === each);
  // No label has this name: then the own namespace is contained in itself and in all namespaces only.
  return [{ key: isLabelled ? NAMESPACE_NAME_LABEL : "\0own", operator: "In", values: [name] }];
}

interface Rule extends RuleName {
  /** Its place among all. */
  readonly order: number;
  /** Number of what its policy selects. */
  readonly selector: number;
  readonly shape: Shape;
}

/** What rules say; the same for all that say the same. */
interface Shape {
  readonly peers: readonly number[] | undefined;
  readonly ports: readonly number[] | undefined;
  readonly peerSet: ReadonlySet<number>;
  readonly portSet: ReadonlySet<number>;
  /** The rules that say it, by the number of what their policy selects: the first of each. */
  readonly first: Map<number, Rule>;
}

class RuleOrder {
  readonly #rules: Rule[] = [];
  readonly #shapes = new Map<string, Shape>();
  readonly #selectors: Lattice<ReadSelector>;
  readonly #peers: PeerNumbers;
  readonly #ports: ReturnType<typeof portLattice>;
  readonly #byPeer = new Map<number | "anybody", Shape[]>();
  readonly #byPort = new Map<number | "every", Shape[]>();
  readonly #containing = new Map<Shape, readonly Shape[]>();

  constructor(policies: readonly ClusterPolicy[], direction: PolicyDirection, own: Selector) {
    const rules = policies.flatMap((policy) =>
      (policy[direction] ?? []).flatMap((rule, i) => (admitsNothing(rule) ? [] : [{ policy, rule, number: i + 1 }])),
    );
    const selectors = new Map(policies.map((policy) => [policy, readSelector(selectorText(policy.pods), policy.pods)]));
    this.#selectors = selectorLattice(selectors.values());
    this.#peers = new PeerNumbers(
      rules.flatMap(({ rule }) => rule.peers ?? []),
      own,
    );
    this.#ports = portLattice(rules.flatMap(({ rule }) => rule.ports ?? []));
    for (const [order, { policy, rule, number }] of rules.entries()) {
      const selector = this.#selectors.idOf(selectors.get(policy) as ReadSelector);
      const shape = this.#shapeOf(rule);
      const entry = { policy, direction, rule: number, order, selector, shape };
      this.#rules.push(entry);
      if (!shape.first.has(selector)) shape.first.set(selector, entry);
    }
  }

  shadowed(): ShadowedRule[] {
    const by = new Map<Rule, Rule>();
    for (const rule of this.#rules) {
      const found = this.#shadowOf(rule);
      if (found !== undefined) by.set(rule, found);
    }
    return [...by].map(([{ policy, direction, rule, shape, selector }, next]) => {
      let last = next;
      for (let further = by.get(last); further !== undefined; further = by.get(last)) last = further;
      const { policy: other, rule: number } = last;
      const same = last.shape === shape && last.selector === selector;
      return { policy, direction, rule, by: { policy: other, direction, rule: number }, same };
    });
  }

  /** Another rule that holds all of this one; of two that hold each other the first is held by none. */
  #shadowOf(rule: Rule): Rule | undefined {
    for (const shape of this.#shapesAround(rule.shape)) {
      for (const selector of this.#selectors.containing(rule.selector)) {
        const other = shape.first.get(selector);
        if (other === undefined || other === rule) continue;
        if (other.order < rule.order || !this.#holds(rule, other)) return other;
      }
    }
    return undefined;
  }

  #holds(outer: Rule, inner: Rule): boolean {
    return (
      this.#selectors.containing(inner.selector).includes(outer.selector) &&
      this.#shapesAround(inner.shape).includes(outer.shape)
    );
  }

  /** Shapes that contain this one, itself among them. */
  #shapesAround(shape: Shape): readonly Shape[] {
    const known = this.#containing.get(shape) ?? this.#candidates(shape).filter((each) => this.#contains(each, shape));
    this.#containing.set(shape, known);
    return known;
  }

  /** The fewest shapes that hold all that may contain it: by one of its peers, or one of its ports. */
  #candidates(shape: Shape): readonly Shape[] {
    const [peer] = shape.peers ?? [];
    const [port] = shape.ports ?? [];
    const peers = ["anybody" as const, ...(peer === undefined ? [] : this.#peers.containing(peer))];
    const ports = ["every" as const, ...(port === undefined ? [] : this.#ports.containing(port))];
    const lists = (index: Map<number | string, Shape[]>, keys: readonly (number | string)[]) =>
      keys.map((key) => index.get(key) ?? []);
    const [byPeer, byPort] = [lists(this.#byPeer, peers), lists(this.#byPort, ports)];
    const size = (all: readonly Shape[][]) => all.reduce((sum, { length }) => sum + length, 0);
    return [...new Set((size(byPeer) <= size(byPort) ? byPeer : byPort).flat())];
  }

  #contains(outer: Shape, inner: Shape): boolean {
    if (outer === inner) return true;
    const isIn = (set: ReadonlySet<number>, ids: readonly number[]) => ids.some((id) => set.has(id));
    const peers =
      outer.peers === undefined ||
      (inner.peers?.every((id) => isIn(outer.peerSet, this.#peers.containing(id))) ?? false);
    if (!peers) return false;
    return (
      outer.ports === undefined ||
      (inner.ports?.every((id) => isIn(outer.portSet, this.#ports.containing(id))) ?? false)
    );
  }

  #shapeOf(rule: PolicyRule): Shape {
    const peers = rule.peers && distinct(rule.peers.map((peer) => this.#peers.idOf(peer)));
    const ports = rule.ports && distinct(rule.ports.map((port) => this.#ports.idOf(port)));
    const text = `${peers?.join(" ") ?? "anybody"} | ${ports?.join(" ") ?? "every"}`;
    const known = this.#shapes.get(text);
    if (known !== undefined) return known;
    const shape = { peers, ports, peerSet: new Set(peers), portSet: new Set(ports), first: new Map() };
    this.#shapes.set(text, shape);
    for (const key of peers ?? ["anybody" as const]) file(this.#byPeer, key, shape);
    for (const key of ports ?? ["every" as const]) file(this.#byPort, key, shape);
    return shape;
  }
}

/** Peers of both kinds under one numbering. A peer of pods is one selector: of their labels and of their namespaces'. */
class PeerNumbers {
  readonly #pods: Lattice<ReadSelector>;
  readonly #blocks: ReturnType<typeof blockLattice>;
  readonly #own: Selector;

  constructor(peers: readonly PolicyPeer[], own: Selector) {
    this.#own = own;
    this.#pods = selectorLattice(peers.flatMap((peer) => (peer.kind === "pods" ? [this.#read(peer)] : [])));
    this.#blocks = blockLattice(peers.filter((peer) => peer.kind === "block"));
  }

  idOf(peer: PolicyPeer): number {
    return peer.kind === "pods" ? 2 * this.#pods.idOf(this.#read(peer)) : 2 * this.#blocks.idOf(peer) + 1;
  }

  containing(id: number): number[] {
    return id % 2 === 0
      ? this.#pods.containing(id / 2).map((each) => 2 * each)
      : this.#blocks.containing((id - 1) / 2).map((each) => 2 * each + 1);
  }

  #read({ namespaces = this.#own, pods }: Extract<PolicyPeer, { kind: "pods" }>): ReadSelector {
    const both = [
      ...namespaces.map((each) => ({ ...each, key: `namespace\0${each.key}` })),
      ...pods.map((each) => ({ ...each, key: `pod\0${each.key}` })),
    ];
    return readSelector(selectorText(both), both);
  }
}

/** Nothing of it could be understood. */
function admitsNothing({ peers, ports }: PolicyRule): boolean {
  return peers?.length === 0 || ports?.length === 0;
}

function distinct(ids: readonly number[]): number[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}

function file<K, V>(index: Map<K, V[]>, key: K, value: V): void {
  const list = index.get(key);
  if (list === undefined) index.set(key, [value]);
  else list.push(value);
}
