/**
 * What changed lately in one collection: a bounded list of events in order of resource version. A watcher is a cursor
 * into it, so a slow client costs no memory, and a cursor that falls off the old end gets 410 and lists again.
 */
import type { KubeObject } from "../object/object.ts";

export type EventType = "ADDED" | "MODIFIED" | "DELETED";

export interface StoreEvent {
  readonly type: EventType;
  readonly version: number;
  readonly object: KubeObject;
  /** The object before the change, to see whether it entered or left a selector. */
  readonly previous: KubeObject | undefined;
}

/** Events kept per collection; the real server's watch cache keeps 100 to 102400. */
const CAPACITY = 8192;

export class History {
  #events: StoreEvent[] = [];
  /** Changes after this version are all known. */
  #floor: number;

  constructor(floor: number) {
    this.#floor = floor;
  }

  get floor(): number {
    return this.#floor;
  }

  push(event: StoreEvent): void {
    this.#events.push(event);
    // Cut in halves, so that a push costs constant time on average.
    if (this.#events.length > CAPACITY * 2) this.#forget(this.#events.length - CAPACITY);
  }

  /** Forgets everything up to `version`, which must be the newest of all. */
  expire(version: number): void {
    this.#events = [];
    this.#floor = version;
  }

  /** Events after `version` in order; undefined when some of them are forgotten. */
  after(version: number): readonly StoreEvent[] | undefined {
    if (version < this.#floor) return undefined;
    return this.#events.slice(this.#indexAfter(version));
  }

  #forget(count: number): void {
    this.#floor = this.#events[count - 1]?.version ?? this.#floor;
    this.#events.splice(0, count);
  }

  #indexAfter(version: number): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle]?.version ?? 0) <= version) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
