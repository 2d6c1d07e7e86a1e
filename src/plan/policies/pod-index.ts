/** The cluster's pods by namespace and by label: a selector looks at those only that it may mean. */
import type { Labels } from "../../model/cluster.ts";
import type { PolicyPod } from "../../model/policy.ts";
import { isSelected, type PodSelection } from "./peers.ts";

export class PodIndex {
  namespaces: ReadonlyMap<string, Labels> = new Map();
  readonly #all = new Set<PolicyPod>();
  readonly #byNamespace = new Map<string, Set<PolicyPod>>();
  readonly #byLabel = new Map<string, Set<PolicyPod>>();

  add(pod: PolicyPod): void {
    this.#all.add(pod);
    insert(this.#byNamespace, pod.namespace, pod);
    for (const [key, value] of Object.entries(pod.labels)) insert(this.#byLabel, labelKey(key, value), pod);
  }

  /** The very object that was added. */
  remove(pod: PolicyPod): void {
    this.#all.delete(pod);
    withdraw(this.#byNamespace, pod.namespace, pod);
    for (const [key, value] of Object.entries(pod.labels)) withdraw(this.#byLabel, labelKey(key, value), pod);
  }

  all(): ReadonlySet<PolicyPod> {
    return this.#all;
  }

  selects(selection: PodSelection, pod: PolicyPod): boolean {
    return isSelected(selection, pod, this);
  }

  selected(selection: PodSelection): PolicyPod[] {
    const found: PolicyPod[] = [];
    for (const pods of this.#candidates(selection)) {
      for (const pod of pods) if (isSelected(selection, pod, this)) found.push(pod);
    }
    return found;
  }

  /** The fewest pods that hold all that may be selected; lists that share no pod. */
  #candidates({ namespaces, pods }: PodSelection): readonly Iterable<PolicyPod>[] {
    let least: readonly ReadonlySet<PolicyPod>[] = [
      typeof namespaces === "string" ? (this.#byNamespace.get(namespaces) ?? new Set()) : this.#all,
    ];
    for (const { key, operator, values } of pods) {
      if (operator !== "In") continue;
      const some = values.flatMap((value) => this.#byLabel.get(labelKey(key, value)) ?? []);
      if (sizeOf(some) < sizeOf(least)) least = some;
    }
    return least;
  }
}

function sizeOf(lists: readonly ReadonlySet<PolicyPod>[]): number {
  return lists.reduce((sum, { size }) => sum + size, 0);
}

/** A label's value has no NUL. */
function labelKey(key: string, value: string): string {
  return `${key}\0${value}`;
}

function insert(lists: Map<string, Set<PolicyPod>>, key: string, pod: PolicyPod): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, new Set([pod]));
  else list.add(pod);
}

function withdraw(lists: Map<string, Set<PolicyPod>>, key: string, pod: PolicyPod): void {
  const list = lists.get(key);
  list?.delete(pod);
  if (list?.size === 0) lists.delete(key);
}
