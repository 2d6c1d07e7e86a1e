/**
 * The memory of the API server: one collection a kind and one resource version that grows with every write.
 *
 * Versions start at the wall clock in milliseconds, not at 1: after a restart every version of the former life lies in
 * the past and is answered with 410, as the watch contract asks, instead of meaning something else.
 */
import { freeze, type KubeObject } from "../object/object.ts";
import { Collection, type Listener } from "./collection.ts";
import type { EventType } from "./history.ts";

export class Database {
  readonly #collections = new Map<string, Collection>();
  readonly #start: number;
  readonly #listeners = new Set<(storage: string) => Listener>();
  #version: number;

  constructor(start: number) {
    this.#start = start;
    this.#version = start;
  }

  /** The newest version of any object. */
  get version(): number {
    return this.#version;
  }

  collection(storage: string): Collection {
    let collection = this.#collections.get(storage);
    if (collection === undefined) {
      collection = new Collection(this.#start);
      this.#collections.set(storage, collection);
      for (const listenerOf of this.#listeners) collection.subscribe(listenerOf(storage));
    }
    return collection;
  }

  collections(): Iterable<readonly [string, Collection]> {
    return this.#collections;
  }

  /** Hears of changes in every collection, also in those to come. `listenerOf` is called once for each. */
  subscribeAll(listenerOf: (storage: string) => Listener): void {
    this.#listeners.add(listenerOf);
    for (const [storage, collection] of this.#collections) collection.subscribe(listenerOf(storage));
  }

  /** Gives the object its version, freezes and stores it. */
  commit(storage: string, type: EventType, object: KubeObject): KubeObject {
    const version = ++this.#version;
    object.metadata.resourceVersion = String(version);
    freeze(object);
    this.collection(storage).commit(type, version, object);
    return object;
  }

  /** Makes every older version of every collection expired. */
  expireHistory(): void {
    const version = ++this.#version;
    for (const collection of this.#collections.values()) collection.history.expire(version);
  }
}
