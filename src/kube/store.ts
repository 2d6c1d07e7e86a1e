/**
 * The objects of one collection as last known: parsed values beside their resourceVersions, nothing of the raw JSON.
 * Every change is computed here, from a list or from one event, so that "what changed" and "what is" cannot differ.
 */
import { isDeepStrictEqual } from "node:util";

/** One change of the collection. An object that was deleted and made again between two lists is an update. */
export type Change<T> =
  | { readonly type: "add"; readonly key: string; readonly value: T }
  | { readonly type: "update"; readonly key: string; readonly value: T; readonly old: T }
  | { readonly type: "delete"; readonly key: string; readonly old: T };

/** A parsed object, or `undefined` in place of the value where it could not be parsed. */
export interface Parsed<T> {
  readonly key: string;
  readonly resourceVersion: string;
  readonly value: T | undefined;
}

export interface StoreOptions {
  /** What an object that cannot be parsed counts as: gone, or what it last was. */
  readonly unparsable: "absent" | "last-good";
}

export class Store<T> {
  readonly #keepLastGood: boolean;
  #values = new Map<string, T>();
  #versions = new Map<string, string>();

  constructor(options: StoreOptions) {
    this.#keepLastGood = options.unparsable === "last-good";
  }

  /** The values now; a later list puts another map in its place, events change this one. */
  get values(): ReadonlyMap<string, T> {
    return this.#values;
  }

  /** resourceVersion of an object, also of one that could not be parsed. */
  versionOf(key: string): string | undefined {
    return this.#versions.get(key);
  }

  /** Adds or updates one object. At most one change. */
  put(object: Parsed<T>): Change<T>[] {
    const old = this.#values.get(object.key);
    this.#versions.set(object.key, object.resourceVersion);
    const value = this.#effective(object, old);
    if (value === undefined) return this.#drop(object.key);
    // The same object is kept: who compares by identity sees that nothing happened.
    if (value === old) return [];
    this.#values.set(object.key, value);
    return [changeOf(object.key, old, value)];
  }

  /** Removes one object; no change when it is not there. */
  remove(key: string): Change<T>[] {
    this.#versions.delete(key);
    return this.#drop(key);
  }

  /** Puts a complete list in the place of everything: adds and updates in list order, then deletes. */
  replace(objects: ReadonlyMap<string, Parsed<T>>): Change<T>[] {
    const before = this.#values;
    const changes: Change<T>[] = [];
    const [values, versions] = [new Map<string, T>(), new Map<string, string>()];
    for (const object of objects.values()) {
      const old = before.get(object.key);
      const value = this.#effective(object, old);
      versions.set(object.key, object.resourceVersion);
      if (value === undefined) continue;
      values.set(object.key, value);
      if (value !== old) changes.push(changeOf(object.key, old, value));
    }
    for (const [key, old] of before) if (!values.has(key)) changes.push({ type: "delete", key, old });
    this.#values = values;
    this.#versions = versions;
    return changes;
  }

  /** The value that stands from now on: the old one itself where nothing that we read changed. */
  #effective(object: Parsed<T>, old: T | undefined): T | undefined {
    if (object.value === undefined) return this.#keepLastGood ? old : undefined;
    return old !== undefined && isDeepStrictEqual(object.value, old) ? old : object.value;
  }

  #drop(key: string): Change<T>[] {
    const old = this.#values.get(key);
    if (old === undefined) return [];
    this.#values.delete(key);
    return [{ type: "delete", key, old }];
  }
}

function changeOf<T>(key: string, old: T | undefined, value: T): Change<T> {
  return old === undefined ? { type: "add", key, value } : { type: "update", key, value, old };
}
