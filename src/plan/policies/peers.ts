/**
 * Peers of policies as sets of addresses, keyed by what they select and shared by all policies that select the same:
 * a pod that changes its labels is a few elements, whatever the number of policies.
 */
import { createHash } from "node:crypto";
import type { Labels } from "../../model/cluster.ts";
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import type { NftSet } from "../../model/nft.ts";
import type { PolicyPeer, PolicyPod } from "../../model/policy.ts";
import { type Prefix, subtractPrefixes } from "../../model/prefix.ts";
import { matchesSelector, type Selector, selectorText } from "../../model/selector.ts";
import type { ServiceProtocol } from "../../model/service.ts";

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

/** Pods by namespace and by label: a selector looks at those only that it may mean. */
export class PodIndex {
  readonly #cluster: ClusterPods;
  readonly #byNamespace: ReadonlyMap<string, readonly PolicyPod[]>;
  readonly #byLabel = new Map<string, PolicyPod[]>();

  constructor(cluster: ClusterPods) {
    this.#cluster = cluster;
    this.#byNamespace = Map.groupBy(cluster.pods, ({ namespace }) => namespace);
    for (const pod of cluster.pods) {
      for (const [key, value] of Object.entries(pod.labels)) {
        const name = labelKey(key, value);
        const pods = this.#byLabel.get(name);
        if (pods === undefined) this.#byLabel.set(name, [pod]);
        else pods.push(pod);
      }
    }
  }

  selected(selection: PodSelection): PolicyPod[] {
    return this.#candidates(selection).filter((pod) => isSelected(selection, pod, this.#cluster));
  }

  all(): readonly PolicyPod[] {
    return this.#cluster.pods;
  }

  /** The shortest list that holds all that may be selected. */
  #candidates({ namespaces, pods }: PodSelection): readonly PolicyPod[] {
    let least = typeof namespaces === "string" ? (this.#byNamespace.get(namespaces) ?? []) : this.#cluster.pods;
    for (const { key, operator, values } of pods) {
      if (operator !== "In") continue;
      const some = values.flatMap((value) => this.#byLabel.get(labelKey(key, value)) ?? []);
      if (some.length < least.length) least = some;
    }
    return least;
  }
}

/** A label's value has no NUL. */
function labelKey(key: string, value: string): string {
  return `${key}\0${value}`;
}

export function selectionOf(peer: Extract<PolicyPeer, { kind: "pods" }>, ownNamespace: string): PodSelection {
  return { namespaces: peer.namespaces ?? ownNamespace, pods: peer.pods };
}

export function selectionText({ namespaces, pods }: PodSelection): string {
  const where = typeof namespaces === "string" ? `namespace ${namespaces}` : `namespaces ${selectorText(namespaces)}`;
  return `${where}; pods ${selectorText(pods)}`;
}

export function isSelected({ namespaces, pods }: PodSelection, pod: PolicyPod, cluster: ClusterPods): boolean {
  if (!matchesSelector(pods, pod.labels)) return false;
  if (typeof namespaces === "string") return pod.namespace === namespaces;
  const labels = cluster.namespaces.get(pod.namespace);
  return labels !== undefined && matchesSelector(namespaces, labels);
}

/** The sets that chains have asked for. */
export class PeerSets {
  readonly #index: PodIndex;
  readonly #family: Family;
  readonly #sets = new Map<string, NftSet>();

  constructor(index: PodIndex, family: Family) {
    this.#index = index;
    this.#family = family;
  }

  /** Sorted by name. */
  sets(): NftSet[] {
    return [...this.#sets.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Addresses of the pods that are selected. @returns the set's name */
  pods(selection: PodSelection): string {
    return this.#ask(`pods-${digest(selectionText(selection))}`, () => ({
      key: this.#addressType,
      interval: false,
      elements: this.#addresses(this.#selected(selection)),
      comment: selectionText(selection),
    }));
  }

  /** A block without its exceptions; undefined for one of the other family. */
  block(prefix: Prefix, except: readonly Prefix[]): string | undefined {
    if (ipFamily(prefix) !== this.#family) return undefined;
    const text = except.length === 0 ? prefix : `${prefix} except ${except.join(", ")}`;
    return this.#ask(`block-${digest(text)}`, () => ({
      key: this.#addressType,
      interval: true,
      elements: subtractPrefixes(prefix, except),
      comment: text,
    }));
  }

  /** Address, protocol and number of a named port of the pods that are selected; of all pods without a selection. */
  namedPorts(selection: PodSelection | undefined, protocol: ServiceProtocol, port: string): string {
    const where = selection === undefined ? "any pod" : selectionText(selection);
    return this.#ask(`named-${digest(`${protocol} ${port} ${where}`)}`, () => ({
      key: [this.#addressType, "inet_proto", "inet_service"],
      interval: false,
      elements: this.#selected(selection)
        .flatMap((pod) => this.#portElements(pod, protocol, port))
        .sort(),
      comment: `${protocol} ${port} of ${where}`,
    }));
  }

  get #addressType(): "ipv4_addr" | "ipv6_addr" {
    return this.#family === 4 ? "ipv4_addr" : "ipv6_addr";
  }

  #ask(name: string, make: () => Omit<NftSet, "name">): string {
    if (!this.#sets.has(name)) this.#sets.set(name, { name, ...make() });
    return name;
  }

  #selected(selection: PodSelection | undefined): readonly PolicyPod[] {
    return selection === undefined ? this.#index.all() : this.#index.selected(selection);
  }

  #addresses(pods: readonly PolicyPod[]): Ip[] {
    return [...new Set(pods.flatMap(({ ips }) => ips.filter((ip) => ipFamily(ip) === this.#family)))].sort();
  }

  #portElements(pod: PolicyPod, protocol: ServiceProtocol, name: string): string[] {
    const numbers = pod.ports.filter((port) => port.name === name && port.protocol === protocol);
    return this.#addresses([pod]).flatMap((ip) =>
      numbers.map(({ port }) => `${ip} . ${protocol.toLowerCase()} . ${port}`),
    );
  }
}

/** Equal texts have equal digests: 10 hexadecimal digits, so that names fit the kernel's. */
export function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 10);
}
