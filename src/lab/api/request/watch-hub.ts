/**
 * All watches of the server. Changes of one turn of the event loop are sent together; one timer serves all bookmarks.
 */

import type { Collection } from "../store/collection.ts";
import type { Database } from "../store/database.ts";
import type { Watcher } from "./watcher.ts";

/** The real server sends about one a minute; a lab's tests are shorter than that. */
const BOOKMARK_INTERVAL_MS = 10_000;

export class WatchHub {
  readonly #database: Database;
  readonly #watchers = new Map<Collection, Set<Watcher>>();
  readonly #unsubscribe = new Map<Collection, () => void>();
  readonly #changed = new Set<Collection>();
  #bookmarks: NodeJS.Timeout | undefined;
  #hanging = false;

  constructor(database: Database) {
    this.#database = database;
  }

  get hanging(): boolean {
    return this.#hanging;
  }

  /** While on, no watch sends a byte; afterwards each goes on where it stopped, or learns that it is expired. */
  hang(on: boolean): void {
    this.#hanging = on;
    if (!on) for (const watcher of this.#all()) watcher.pump(this.#database.version);
  }

  add(watcher: Watcher): void {
    const { collection } = watcher;
    const watchers = this.#watchers.get(collection) ?? new Set<Watcher>();
    this.#watchers.set(collection, watchers.add(watcher));
    if (!this.#unsubscribe.has(collection)) {
      this.#unsubscribe.set(
        collection,
        collection.subscribe(() => this.#schedule(collection)),
      );
    }
    this.#bookmarks ??= setInterval(() => this.#sendBookmarks(), BOOKMARK_INTERVAL_MS).unref();
  }

  remove(watcher: Watcher): void {
    const watchers = this.#watchers.get(watcher.collection);
    watchers?.delete(watcher);
    if (watchers?.size !== 0) return;
    this.#watchers.delete(watcher.collection);
    this.#unsubscribe.get(watcher.collection)?.();
    this.#unsubscribe.delete(watcher.collection);
    if (this.#watchers.size > 0) return;
    clearInterval(this.#bookmarks);
    this.#bookmarks = undefined;
  }

  endAll(): void {
    for (const watcher of [...this.#all()]) {
      watcher.end();
      this.remove(watcher);
    }
  }

  #schedule(collection: Collection): void {
    if (this.#changed.size === 0) setImmediate(() => this.#flush());
    this.#changed.add(collection);
  }

  #flush(): void {
    const changed = [...this.#changed];
    this.#changed.clear();
    if (this.#hanging) return;
    const { version } = this.#database;
    for (const collection of changed) {
      for (const watcher of this.#watchers.get(collection) ?? []) watcher.pump(version);
    }
  }

  #sendBookmarks(): void {
    if (this.#hanging) return;
    for (const watcher of this.#all()) watcher.bookmark(this.#database.version);
  }

  *#all(): Iterable<Watcher> {
    for (const watchers of this.#watchers.values()) yield* watchers;
  }
}
