/** Pods by namespace and label, for an audit: whom a selector means, each asked for once. */
import type { Labels } from "../../model/cluster.ts";
import { matchesSelector, type Selector, selectorText } from "../../model/selector.ts";
import { type PodSelection, selectionText } from "./peers.ts";

/** What selectors look at. */
export interface LabelledPod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
}

export class AuditPods<P extends LabelledPod> {
  readonly #namespaces: ReadonlyMap<string, Labels>;
  readonly #byNamespace: ReadonlyMap<string, readonly P[]>;
  readonly #byLabel = new Map<string, P[]>();
  readonly #selected = new Map<string, readonly P[]>();
  readonly #matching = new Map<string, readonly string[]>();

  constructor(pods: readonly P[], namespaces: ReadonlyMap<string, Labels>) {
    this.#namespaces = namespaces;
    this.#byNamespace = Map.groupBy(pods, ({ namespace }) => namespace);
    for (const pod of pods) {
      for (const [key, value] of Object.entries(pod.labels)) {
        const name = labelName(pod.namespace, key, value);
        const list = this.#byLabel.get(name);
        if (list === undefined) this.#byLabel.set(name, [pod]);
        else list.push(pod);
      }
    }
  }

  in(namespace: string): readonly P[] {
    return this.#byNamespace.get(namespace) ?? [];
  }

  /** Names of the namespaces that there are and that a selector matches. */
  namespaces(selector: Selector): readonly string[] {
    const text = selectorText(selector);
    const known = this.#matching.get(text);
    if (known !== undefined) return known;
    const found = [...this.#namespaces].flatMap(([name, labels]) => (matchesSelector(selector, labels) ? [name] : []));
    this.#matching.set(text, found);
    return found;
  }

  selected(selection: PodSelection): readonly P[] {
    const text = selectionText(selection);
    const known = this.#selected.get(text);
    if (known !== undefined) return known;
    const { namespaces, pods } = selection;
    const names = typeof namespaces === "string" ? [namespaces] : this.namespaces(namespaces);
    const found = names.flatMap((name) => this.#inNamespace(name, pods));
    this.#selected.set(text, found);
    return found;
  }

  #inNamespace(namespace: string, selector: Selector): readonly P[] {
    const all = this.in(namespace);
    if (selector.length === 0) return all;
    let least = all;
    for (const { key, operator, values } of selector) {
      if (operator !== "In") continue;
      const some = values.flatMap((value) => this.#byLabel.get(labelName(namespace, key, value)) ?? []);
      if (some.length < least.length) least = some;
    }
    return least.filter(({ labels }) => matchesSelector(selector, labels));
  }
}

/** None of the three holds a NUL. */
function labelName(namespace: string, key: string, value: string): string {
  return `${namespace}\0${key}\0${value}`;
}
