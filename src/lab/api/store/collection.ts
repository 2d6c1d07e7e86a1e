/**
 * All objects of one kind: by namespace and name, with their recent history and the listeners of it.
 */
import { type KubeObject, objectKey } from "../object/object.ts";
import { type EventType, History, type StoreEvent } from "./history.ts";

export type Listener = (event: StoreEvent) => void;

export class Collection {
  readonly history: History;
  readonly #namespaces = new Map<string, Map<string, KubeObject>>();
  readonly #listeners = new Set<Listener>();
  #sorted: readonly KubeObject[] | undefined;
  #size = 0;

  constructor(floor: number) {
    this.history = new History(floor);
  }

  get size(): number {
    return this.#size;
  }

  get(namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#namespaces.get(namespace ?? "")?.get(name);
  }

  /** Objects of one namespace in no particular order. */
  inNamespace(namespace: string): Iterable<KubeObject> {
    return this.#namespaces.get(namespace)?.values() ?? [];
  }

  /** Every object, ordered by key: the order of lists and of `continue` tokens. */
  sorted(): readonly KubeObject[] {
    this.#sorted ??= [...this.#namespaces.values()].flatMap((map) => [...map.values()]).sort(compareKeys);
    return this.#sorted;
  }

  /** The collection as it was at `version`, ordered by key; undefined when that is forgotten. */
  sortedAt(version: number): readonly KubeObject[] | undefined {
    const later = this.history.after(version);
    if (later === undefined || later.length === 0) return later && this.sorted();
    const objects = new Map(this.sorted().map((object) => [keyOf(object), object]));
    for (const event of [...later].reverse()) {
      if (event.previous === undefined) objects.delete(keyOf(event.object));
      else objects.set(keyOf(event.object), event.previous);
    }
    return [...objects.values()].sort(compareKeys);
  }

  /** Stores or (for DELETED) removes the object, then tells the listeners. */
  commit(type: EventType, version: number, object: KubeObject): void {
    const { namespace = "", name } = object.metadata;
    const map = this.#namespaces.get(namespace) ?? new Map<string, KubeObject>();
    const previous = map.get(name);
    if (type === "DELETED") map.delete(name);
    else map.set(name, object);
    if (map.size === 0) this.#namespaces.delete(namespace);
    else this.#namespaces.set(namespace, map);
    this.#size += type === "ADDED" ? 1 : type === "DELETED" ? -1 : 0;
    this.#sorted = undefined;
    const event: StoreEvent = { type, version, object, previous };
    this.history.push(event);
    for (const listener of this.#listeners) listener(event);
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

export function keyOf(object: KubeObject): string {
  return objectKey(object.metadata.namespace, object.metadata.name);
}

function compareKeys(a: KubeObject, b: KubeObject): number {
  const x = keyOf(a);
  const y = keyOf(b);
  return x < y ? -1 : x > y ? 1 : 0;
}
