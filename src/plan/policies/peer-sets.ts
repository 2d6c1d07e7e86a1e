/**
 * Peers of policies as sets of addresses, keyed by what they select and shared by all policies that select the same:
 * a pod that changes its labels is a few elements, whatever the number of policies.
 */
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import type { NftSet } from "../../model/nft.ts";
import type { PolicyPod } from "../../model/policy.ts";
import { outermostPrefixes, type Prefix, prefixContains, subtractPrefixes } from "../../model/prefix.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import { LiveSet, type SetMembers } from "./live-set.ts";
import { digest, type PodSelection, selectionText } from "./peers.ts";
import type { PodIndex } from "./pod-index.ts";

export interface Block {
  readonly prefix: Prefix;
  readonly except: readonly Prefix[];
}

export interface NamedPort {
  /** Undefined: any pod. */
  readonly selection: PodSelection | undefined;
  /** Pods with an address in this block alone. */
  readonly block?: Block | undefined;
  readonly protocol: ServiceProtocol;
  readonly port: string;
}

/** A round in which more pods changed than this, for each set, looks at all pods once instead. */
const MOST_FOLLOWED = 20_000;
/** Longest comment of a set that nft keeps. */
const COMMENT_LENGTH = 127;

/** The sets that chains have asked for. */
export class PeerSets {
  readonly #index: PodIndex;
  readonly #family: Family;
  readonly #sets = new Map<string, LiveSet>();
  /** Those whose elements changed since {@link takeTurned}. */
  #turned = new Set<LiveSet>();

  constructor(index: PodIndex, family: Family) {
    this.#index = index;
    this.#family = family;
  }

  get(name: string): LiveSet {
    const set = this.#sets.get(name);
    if (set === undefined) throw new RangeError(`Nobody has asked for set ${name}`);
    return set;
  }

  /** Pods came and went: the index has them as they are now. */
  follow(removed: readonly PolicyPod[], added: readonly PolicyPod[]): void {
    const isMuch = (removed.length + added.length) * this.#sets.size > MOST_FOLLOWED;
    if (isMuch) this.refill();
    else this.#follow(this.#ofFamily(removed), this.#ofFamily(added));
  }

  #follow(removed: readonly PolicyPod[], added: readonly PolicyPod[]): void {
    if (removed.length + added.length === 0) return;
    for (const set of this.#sets.values()) {
      set.follow(removed, added, this.#index);
      if (set.isTurned) this.#turned.add(set);
    }
  }

  #ofFamily(pods: readonly PolicyPod[]): readonly PolicyPod[] {
    return pods.filter(({ ips }) => ips.some((ip) => ipFamily(ip) === this.#family));
  }

  /** Namespaces may have other labels. */
  refill(): void {
    for (const set of this.#sets.values()) {
      set.refill(this.#index);
      if (set.isTurned) this.#turned.add(set);
    }
  }

  /** The sets that may have other elements than when this was last asked. */
  takeTurned(): ReadonlySet<LiveSet> {
    const turned = this.#turned;
    if (turned.size > 0) this.#turned = new Set();
    return turned;
  }

  /** No chain uses it any more. */
  forget(name: string): void {
    this.#sets.delete(name);
  }

  /** Addresses of the pods that any of these select. @returns the set's name */
  pods(selections: readonly PodSelection[]): string {
    const texts = selections.map(selectionText).sort();
    const [selection] = selections;
    const addresses = (pod: PolicyPod) => this.#addresses(pod);
    return this.#ask(`pods-${digest(texts.join("\n"))}`, this.#addressType, texts, {
      candidates: (index) =>
        selections.length === 1 && selection !== undefined ? index.selected(selection) : index.all(),
      of: (pod, index) => (selections.some((each) => index.selects(each, pod)) ? addresses(pod) : []),
    });
  }

  /** What blocks of this family leave of themselves; undefined when all of them are of the other one. @returns the set's name */
  blocks(blocks: readonly Block[]): string | undefined {
    const own = blocks.filter(({ prefix }) => ipFamily(prefix) === this.#family);
    if (own.length === 0) return undefined;
    const texts = own.map(blockText).sort();
    const name = `block-${digest(texts.join("\n"))}`;
    if (this.#sets.has(name)) return name;
    const left = own.flatMap(({ prefix, except }) => subtractPrefixes(prefix, except));
    const head = { name, key: this.#addressType, interval: true, comment: commentOf(texts) } as const;
    this.#sets.set(name, LiveSet.constant({ ...head, elements: outermostPrefixes(left) }));
    return name;
  }

  /** Address, protocol and number of these named ports, of the pods that have them. @returns the set's name */
  namedPorts(ports: readonly NamedPort[]): string {
    const texts = ports.map(namedPortText).sort();
    const [only] = ports;
    const key = [this.#addressType, "inet_proto", "inet_service"] as const;
    return this.#ask(`named-${digest(texts.join("\n"))}`, key, texts, {
      candidates: (index) =>
        ports.length === 1 && only?.selection !== undefined ? index.selected(only.selection) : index.all(),
      of: (pod, index) => [...new Set(ports.flatMap((port) => this.#portElements(port, pod, index)))],
    });
  }

  get #addressType(): "ipv4_addr" | "ipv6_addr" {
    return this.#family === 4 ? "ipv4_addr" : "ipv6_addr";
  }

  #ask(name: string, key: NftSet["key"], texts: readonly string[], members: SetMembers): string {
    if (!this.#sets.has(name)) {
      const head = { name, key, interval: false, comment: commentOf(texts) };
      this.#sets.set(name, LiveSet.of(head, members, this.#index));
    }
    return name;
  }

  #addresses({ ips }: PolicyPod): Ip[] {
    return [...new Set(ips.filter((ip) => ipFamily(ip) === this.#family))];
  }

  #portElements({ selection, block, protocol, port: name }: NamedPort, pod: PolicyPod, index: PodIndex): string[] {
    const numbers = pod.ports.filter((port) => port.name === name && port.protocol === protocol);
    if (numbers.length === 0 || (selection !== undefined && !index.selects(selection, pod))) return [];
    return this.#addresses(pod)
      .filter((ip) => block === undefined || isInBlock(block, ip))
      .flatMap((ip) => numbers.map(({ port }) => `${ip} . ${protocol.toLowerCase()} . ${port}`));
  }
}

export function blockText({ prefix, except }: Block): string {
  return except.length === 0 ? prefix : `${prefix} except ${except.join(", ")}`;
}

export function isInBlock({ prefix, except }: Block, ip: Ip): boolean {
  const holds = (each: Prefix) => ipFamily(each) === ipFamily(ip) && prefixContains(each, ip);
  return holds(prefix) && !except.some(holds);
}

export function namedPortText({ selection, block, protocol, port }: NamedPort): string {
  const where = block === undefined ? "" : ` in ${blockText(block)}`;
  return `${protocol} ${port} of ${selection === undefined ? "any pod" : selectionText(selection)}${where}`;
}

function commentOf(texts: readonly string[]): string {
  return texts.join(" | ").slice(0, COMMENT_LENGTH);
}
