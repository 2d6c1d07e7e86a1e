/**
 * Keeps a local copy of one collection of the Kubernetes API true: list, then watch from the list's version, for as
 * long as it runs, whatever the server or the network does. The semantics are those of client-go's Reflector.
 *
 *            ┌────────────── expired (410), history went back, unreadable stream ◀──┐
 *            ▼                                                                      │
 *   start ▶ list ──replace the store──▶ watch ──events, bookmarks──▶ put, remove ───┤
 *            ▲ fails                     ▲  └── ends in good order, or falls silent ┘ (watch again from the version)
 *            └─back off                  └── probe ◀── back off ◀── breaks: reset, 5xx, refused, deadline
 *
 * The store changes by a complete list or by an event, by nothing else: while the API is away the last state stands.
 */
import { BreakwaterError, messageOf } from "../model/errors.ts";
import {
  connectionError,
  historyError,
  isExpired,
  isForbidden,
  isNotFound,
  KubeApiError,
  responseError,
} from "./api-error.ts";
import { Backoff } from "./backoff.ts";
import { type Clock, pause, systemClock } from "./clock.ts";
import { type Collection, type CompleteList, listCollection } from "./lister.ts";
import { ObjectReader, objectKey, objectVersion } from "./object-reader.ts";
import {
  type ChangeListener,
  DEFAULT_TIMING,
  type ReflectorOptions,
  type ReflectorState,
  type ReflectorTiming,
} from "./reflector-options.ts";
import { resourceName } from "./resource.ts";
import { type Change, Store } from "./store.ts";
import { isOlderVersion } from "./version.ts";
import type { WatchEvent } from "./watch-decoder.ts";
import { checkedVersion, runWatch, type WatchSession, type WatchTiming } from "./watch-session.ts";

/** A watch that ends sooner, with nothing said, is a server that refuses politely (client-go: "very short watch"). */
const SHORT_WATCH_MS = 1000;
/** Items of one page, as client-go asks. */
const PAGE_SIZE = 500;

/** Silent watches in a row after which the collection is listed, in case something on the way holds watches back. */
const SILENT_WATCHES_BEFORE_LIST = 4;

export class Reflector<T> {
  /** Resolves after the first complete list; rejects with BW_KUBE_STOPPED when stopped before. */
  readonly synced: Promise<void>;
  readonly #options: ReflectorOptions<T>;
  readonly #timing: ReflectorTiming;
  readonly #clock: Clock;
  readonly #collection: Collection<T>;
  readonly #store: Store<T>;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<ChangeListener<T>>();
  readonly #firstList = Promise.withResolvers<void>();
  readonly #counts = { lists: 0, watches: 0, errors: 0 };
  #loop: Promise<void> | undefined;
  #version: string | undefined;
  /** The history from #version on cannot be had: only a list helps. */
  #mustList = true;
  /** The last watch broke: it may be another server that answers next. */
  #mustProbe = false;
  /** Watches given up as silent since the last event. */
  #silentInRow = 0;
  #connected = false;
  /** Since when the server has not known an optional collection. */
  #absentSince: number | undefined;
  #lastContact: number | undefined;
  #lastError: string | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#store = new Store(options);
    const name = resourceName(options.resource);
    this.#collection = {
      client: options.client,
      resource: options.resource,
      selection: options.selection ?? {},
      reader: new ObjectReader(name, options.parse, options.onProblem ?? (() => {})),
      pageSize: options.pageSize ?? PAGE_SIZE,
    };
    const { backoffBaseMs: baseMs, backoffCapMs: capMs } = this.#timing;
    this.#backoff = new Backoff({ baseMs, capMs, random: this.#clock.random });
    this.synced = this.#firstList.promise;
    // Who does not wait for it must not be killed by its rejection.
    this.synced.catch(() => {});
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Ends the watch. The last known state stays readable; no listener is called any more. */
  async stop(): Promise<void> {
    const why = `Stopped before ${resourceName(this.#options.resource)} were listed`;
    const error = new BreakwaterError("BW_KUBE_STOPPED", why, { operation: "list" });
    this.#stop.abort(error);
    this.#firstList.reject(error);
    await this.#loop;
  }

  /** Parsed values by "namespace/name" or "name", as last known. */
  items(): ReadonlyMap<string, T> {
    return this.#store.values;
  }

  /** Calls `listener` with every batch of changes, after the store has them. Returns what ends that. */
  onChange(listener: ChangeListener<T>): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  state(): ReflectorState {
    return {
      resource: resourceName(this.#options.resource),
      synced: this.#counts.lists > 0,
      connected: this.#connected,
      lastContact: this.#lastContact,
      lastResourceVersion: this.#version,
      objects: this.#store.values.size,
      relists: Math.max(0, this.#counts.lists - 1),
      watches: this.#counts.watches,
      errors: this.#counts.errors,
      failuresInRow: this.#backoff.failures,
      lastError: this.#lastError,
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        if (this.#mustList || this.#version === undefined) await this.#list();
        else if (this.#mustProbe) await this.#probe();
        if (this.#version === undefined) await pause(this.#clock, this.#timing.absentMs, signal);
        else await this.#watch();
      } catch (error) {
        if (!signal.aborted) await this.#recover(error);
      }
    }
  }

  async #list(): Promise<void> {
    const list = await this.#completeList();
    this.#stop.signal.throwIfAborted();
    this.#version = list?.resourceVersion;
    this.#mustList = false;
    this.#mustProbe = false;
    this.#counts.lists++;
    this.#touch();
    this.#publish(this.#store.replace(list?.objects ?? new Map()));
    this.#firstList.resolve();
  }

  /** Undefined where the server does not know the collection, and need not. */
  async #completeList(): Promise<CompleteList<T> | undefined> {
    try {
      const version = this.#version === undefined ? "0" : undefined;
      const list = await listCollection(this.#collection, version, this.#stop.signal);
      this.#absentSince = undefined;
      return list;
    } catch (error) {
      if (this.#options.isOptional !== true || !isNotFound(error)) throw error;
      const now = this.#clock.now();
      this.#absentSince ??= now;
      // One that starts may not know it yet. Whoever deletes a definition deletes its objects first.
      if (this.#store.values.size > 0 && now - this.#absentSince < this.#timing.absentMs) throw error;
      return undefined;
    }
  }

  /** After a break: is it the server we knew, and does it answer at all? */
  async #probe(): Promise<void> {
    await checkedVersion(this.#session(), this.#stop.signal);
    this.#mustProbe = false;
  }

  async #watch(): Promise<void> {
    const [startedAt, versionBefore] = [this.#clock.now(), this.#version];
    let end: "ended" | "silent";
    try {
      end = await runWatch(this.#session());
    } finally {
      if (this.#connected && this.#clock.now() - startedAt >= this.#timing.healthyMs) this.#backoff.reset();
      this.#connected = false;
    }
    if (end === "silent") return this.#afterSilence();
    const tookMs = this.#clock.now() - startedAt;
    if (tookMs >= SHORT_WATCH_MS || this.#version !== versionBefore) return;
    const cause = new Error(`the server ended it after ${Math.round(tookMs)} ms without a word`);
    throw connectionError(cause, "watch", resourceName(this.#options.resource));
  }

  /** A new watch from our version tells what a hung one kept back. A proxy that buffers would hold that back too. */
  #afterSilence(): void {
    this.#silentInRow++;
    if (this.#silentInRow % SILENT_WATCHES_BEFORE_LIST === 0) this.#mustList = true;
  }

  #session(): WatchSession {
    const { idleMs, idleJitterMs, probeTimeoutMs, slackMs, watchSeconds } = this.#timing;
    const random = this.#clock.random;
    const timing: WatchTiming = {
      idleMs: idleMs + random() * idleJitterMs,
      probeTimeoutMs,
      slackMs,
      timeoutSeconds: Math.ceil(watchSeconds * (1 + random())),
    };
    return {
      collection: this.#collection,
      clock: this.#clock,
      timing,
      signal: this.#stop.signal,
      version: () => this.#version ?? "",
      onContact: () => this.#touch(),
      onOpen: () => this.#opened(),
      onEvent: (event) => this.#apply(event),
    };
  }

  #opened(): void {
    this.#connected = true;
    this.#lastError = undefined;
    this.#counts.watches++;
    this.#touch();
  }

  #touch(): void {
    this.#lastContact = this.#clock.now();
  }

  #apply(event: WatchEvent): void {
    if (this.#stop.signal.aborted) return;
    const version = objectVersion(event.object);
    if (version === "") throw responseError("watch", resourceName(this.#options.resource), "an event has no version");
    if (this.#isFromThePast(event, version)) return;
    // Only after the change is in: a throw on the way leaves the version before it.
    if (event.type === "DELETED") this.#publish(this.#store.remove(objectKey(event.object) ?? ""));
    else if (event.type !== "BOOKMARK") this.#put(event);
    this.#version = version;
    this.#silentInRow = 0;
  }

  #put(event: WatchEvent): void {
    const object = this.#collection.reader.read(event.object);
    if (object !== undefined) this.#publish(this.#store.put(object));
  }

  /**
   * An event older than what we had means that history went back (etcd restored, a server of another cluster): then
   * nothing we know is sure. But a DELETED may carry the last version of the object instead of that of its deletion:
   * it is right, and no reason to move the version back.
   */
  #isFromThePast(event: WatchEvent, version: string): boolean {
    const current = this.#version ?? "";
    if (!isOlderVersion(version, current)) return false;
    const key = objectKey(event.object) ?? "";
    if (event.type !== "DELETED" || this.#store.versionOf(key) !== version)
      throw historyError(resourceName(this.#options.resource), current, version);
    this.#publish(this.#store.remove(key));
    return true;
  }

  #publish(changes: readonly Change<T>[]): void {
    if (changes.length === 0) return;
    for (const listener of this.#listeners) {
      try {
        listener(changes);
      } catch (error) {
        // A fault of the program, not of the stream: it must not look like one, and must not be lost.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  async #recover(thrown: unknown): Promise<void> {
    const error = thrown instanceof Error ? thrown : new Error(messageOf(thrown));
    const expired = isExpired(error);
    // An unreadable stream would be unreadable again from the same version.
    if (expired || (error instanceof BreakwaterError && error.code === "BW_KUBE_RESPONSE")) this.#mustList = true;
    if (this.#options.isOptional === true && isNotFound(error)) this.#mustList = true;
    this.#mustProbe = true;
    this.#counts.errors++;
    this.#lastError = error.message;
    const waitMs = this.#waitAfter(error, expired && this.#backoff.failures === 0);
    this.#options.onError?.(error, waitMs);
    await pause(this.#clock, waitMs, this.#stop.signal);
  }

  /** A first expiry is everyday life and no sign of trouble; a second one in a row waits like any failure. */
  #waitAfter(error: Error, firstExpiry: boolean): number {
    const drawn = this.#backoff.next();
    if (firstExpiry) return 0;
    // Somebody has to grant it: it is looked for as seldom as a collection that does not exist.
    if (this.#options.isOptional === true && isForbidden(error)) return Math.max(drawn, this.#timing.absentMs);
    const asked = error instanceof KubeApiError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
    return Math.max(drawn, Math.min(asked, this.#timing.backoffCapMs));
  }
}
