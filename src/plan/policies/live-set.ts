/** A set whose elements come from pods, that follows them one by one and knows what changed since it was last asked. */
import type { NftSet } from "../../model/nft.ts";
import type { PolicyPod } from "../../model/policy.ts";
import type { PodIndex } from "./pod-index.ts";

export interface SetMembers {
  /** Pods that may have elements here. */
  candidates(index: PodIndex): Iterable<PolicyPod>;
  /** A pod's elements, each once. */
  of(pod: PolicyPod, index: PodIndex): readonly string[];
}

const NOTHING = { added: [], removed: [] };

export class LiveSet {
  readonly head: Omit<NftSet, "elements">;
  readonly #members: SetMembers | undefined;
  /** Two pods may have one address for a moment: how many give each element. */
  #counts = new Map<string, number>();
  /** Elements that came (true) or went (false) since {@link taken}. */
  #turned = new Map<string, boolean>();

  private constructor(head: Omit<NftSet, "elements">, members?: SetMembers) {
    this.head = head;
    this.#members = members;
  }

  static of(head: Omit<NftSet, "elements">, members: SetMembers, index: PodIndex): LiveSet {
    const set = new LiveSet(head, members);
    set.#counts = set.#countAll(members, index);
    return set;
  }

  /** One that no pod changes. */
  static constant({ elements, ...head }: NftSet): LiveSet {
    const set = new LiveSet(head);
    for (const element of elements) set.#counts.set(element, 1);
    return set;
  }

  whole(): NftSet {
    return { ...this.head, elements: [...this.#counts.keys()].sort() };
  }

  follow(removed: readonly PolicyPod[], added: readonly PolicyPod[], index: PodIndex): void {
    if (this.#members === undefined) return;
    for (const pod of removed) for (const element of this.#members.of(pod, index)) this.#count(element, -1);
    for (const pod of added) for (const element of this.#members.of(pod, index)) this.#count(element, 1);
  }

  refill(index: PodIndex): void {
    if (this.#members === undefined) return;
    const before = this.#counts;
    this.#counts = this.#countAll(this.#members, index);
    for (const element of before.keys()) if (!this.#counts.has(element)) this.#turn(element, false);
    for (const element of this.#counts.keys()) if (!before.has(element)) this.#turn(element, true);
  }

  get isTurned(): boolean {
    return this.#turned.size > 0;
  }

  /** What came and went since this was last asked. */
  taken(): { readonly added: readonly string[]; readonly removed: readonly string[] } {
    if (this.#turned.size === 0) return NOTHING;
    const turned = [...this.#turned];
    this.#turned = new Map();
    const that = (is: boolean) => turned.flatMap(([element, here]) => (here === is ? [element] : [])).sort();
    return { added: that(true), removed: that(false) };
  }

  #countAll(members: SetMembers, index: PodIndex): Map<string, number> {
    const counts = new Map<string, number>();
    for (const pod of members.candidates(index)) {
      for (const element of members.of(pod, index)) counts.set(element, (counts.get(element) ?? 0) + 1);
    }
    return counts;
  }

  #count(element: string, by: 1 | -1): void {
    const count = (this.#counts.get(element) ?? 0) + by;
    if (count === 0) this.#counts.delete(element);
    else this.#counts.set(element, count);
    if (count === 0) this.#turn(element, false);
    else if (by === 1 && count === 1) this.#turn(element, true);
  }

  #turn(element: string, here: boolean): void {
    // Came and went, or went and came: nothing happened.
    if (this.#turned.get(element) === !here) this.#turned.delete(element);
    else this.#turned.set(element, here);
  }
}
