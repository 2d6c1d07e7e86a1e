/**
 * Gives memory back when the agent has gone quiet. V8 collects when it needs room, and the C library keeps what was freed:
 * a process that stops working keeps the garbage of its last burst for ever, 30 MB behind the start of an agent among 500
 * nodes. A full collection a while after the last work costs some milliseconds of nobody's time. See
 * docs/adr/0010-start-and-memory.md.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { mallocTrim } from "../kernel/libc.ts";

/** Longer than the pauses between the pods of one rollout. */
const QUIET_MS = 10_000;
/** However often work comes and goes, no more than this: a thousandth of a core. */
const LEAST_INTERVAL_MS = 60_000;
/** Probes make garbage for months in which nothing else happens. */
const REPEAT_MS = 600_000;
/** V8's threads free what they worked with, each into an arena of its own, some megabytes in all. Half a millisecond. */
const TRIM_MS = 30_000;

export interface IdleCollectorOptions {
  readonly quietMs?: number;
  readonly leastIntervalMs?: number;
  readonly repeatMs?: number;
  /** @default V8's full collection */
  readonly collect?: () => void;
}

export class IdleCollector implements Disposable {
  readonly #quietMs: number;
  readonly #leastIntervalMs: number;
  readonly #repeatMs: number;
  readonly #collect: () => void;
  readonly #trimming: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(options: IdleCollectorOptions = {}) {
    const { quietMs = QUIET_MS, leastIntervalMs = LEAST_INTERVAL_MS, repeatMs = REPEAT_MS, collect } = options;
    this.#quietMs = quietMs;
    this.#leastIntervalMs = leastIntervalMs;
    this.#repeatMs = repeatMs;
    this.#collect = collect ?? fullCollection;
    this.#trimming = setInterval(() => mallocTrim(0), TRIM_MS);
    this.#trimming.unref();
  }

  /** Something was done: its garbage is collected when nothing more comes for a while. */
  touch(): void {
    const due = this.#lastAt + this.#leastIntervalMs - performance.now();
    this.#schedule(Math.max(this.#quietMs, due));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    clearInterval(this.#trimming);
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), afterMs);
    this.#timer.unref();
  }

  #run(): void {
    this.#lastAt = performance.now();
    this.#collect();
    this.#schedule(this.#repeatMs);
  }
}

/**
 * V8's settings for a process that works seldom and for months. Called before anything is made.
 *
 * The young generation stays at the megabyte that it begins with: it would grow to sixteen, and to another sixteen, while the
 * agent starts, and shrinks only with a full collection. What was compiled stays: V8 throws away the bytecode of functions that
 * some collections in a row found unused, and the change behind a quiet hour would wait for the compiler. And nobody but
 * {@link IdleCollector} makes the heap smaller: V8's own reducer marks it twice, some seconds later, when work may have begun again.
 */
export function settleV8(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--no-flush-bytecode");
  setFlagsFromString("--no-memory-reducer");
}

type Collect = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;
let gc: Collect | undefined;

/**
 * V8's gc(), which Node shows only with --expose-gc: an agent is started in many ways, so it asks for itself. The flavor is
 * the one that gives pages back.
 */
function fullCollection(): void {
  setFlagsFromString("--expose-gc");
  gc ??= runInNewContext("gc") as Collect;
  gc({ type: "major", execution: "sync", flavor: "last-resort" });
  mallocTrim(0);
}
