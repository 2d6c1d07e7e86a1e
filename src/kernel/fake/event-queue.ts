/**
 * Events on their way: queued in the kernel's order, delivered in one burst on a later turn of the loop, as a socket that
 * became readable is. The queue can overrun on demand: what was in it is gone and the listeners are told.
 */
import type { RouteEvent, RouteWatch } from "../rtnetlink/types.ts";

type Listener = (events: RouteEvent[]) => void;

export class EventQueue {
  readonly #listeners = new Set<Listener>();
  #queue: RouteEvent[] = [];
  #scheduled: NodeJS.Immediate | undefined;
  #held = false;

  watch(listener: Listener): RouteWatch {
    let ignored = new Set<number>();
    const isWanted = (event: RouteEvent) => event.type !== "neighbour" || !ignored.has(event.neighbour.index);
    const filtered: Listener = (events) => {
      const wanted = events.filter(isWanted);
      if (wanted.length > 0) listener(wanted);
    };
    this.#listeners.add(filtered);
    return {
      ignoreNeighboursOf: (indices) => {
        ignored = new Set(indices);
      },
      [Symbol.dispose]: () => void this.#listeners.delete(filtered),
    };
  }

  emit(event: RouteEvent): void {
    // A netlink socket only hears what happens while it listens.
    if (this.#listeners.size === 0) return;
    this.#queue.push(event);
    this.#schedule();
  }

  /** ENOBUFS: what is queued is lost. */
  lose(): void {
    this.#queue = [];
    this.emit({ type: "lost" });
  }

  /** Keeps events back until {@link release}: the listener is busy. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    if (this.#queue.length > 0) this.#schedule();
  }

  get idle(): boolean {
    return this.#held || this.#queue.length === 0;
  }

  #schedule(): void {
    if (this.#held) return;
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      if (this.#held) return;
      const burst = this.#queue;
      this.#queue = [];
      for (const listener of [...this.#listeners]) listener([...burst]);
    });
  }
}
