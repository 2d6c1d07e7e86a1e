/**
 * Gives memory back when the agent has gone quiet. V8 collects when it needs room: a process that stops working keeps the
 * garbage of its last burst for ever, 30 MB behind the start of an agent among 500 nodes. One full collection a while
 * after the last work costs some milliseconds of nobody's time.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Longer than the pauses between the pods of one rollout. */
const QUIET_MS = 10_000;
/** However often work comes and goes, no more than this: a thousandth of a core. */
const LEAST_INTERVAL_MS = 60_000;

export interface IdleCollectorOptions {
  readonly quietMs?: number;
  readonly leastIntervalMs?: number;
  /** @default V8's full collection */
  readonly collect?: () => void;
}

export class IdleCollector implements Disposable {
  readonly #quietMs: number;
  readonly #leastIntervalMs: number;
  readonly #collect: () => void;
  #timer: NodeJS.Timeout | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor({ quietMs = QUIET_MS, leastIntervalMs = LEAST_INTERVAL_MS, collect }: IdleCollectorOptions = {}) {
    this.#quietMs = quietMs;
    this.#leastIntervalMs = leastIntervalMs;
    this.#collect = collect ?? fullCollection();
  }

  /** Something was done: its garbage is collected when nothing more comes for a while. */
  touch(): void {
    const due = this.#lastAt + this.#leastIntervalMs - performance.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), Math.max(this.#quietMs, due));
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #run(): void {
    this.#lastAt = performance.now();
    this.#collect();
  }
}

/** V8's gc(), which Node shows only with --expose-gc: an agent is started in many ways, so it asks for itself. */
function fullCollection(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
