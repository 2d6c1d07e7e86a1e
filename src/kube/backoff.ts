/**
 * How long to wait after a failure: exponential with full jitter, so that a thousand agents that lost the same API
 * server do not all come back in the same instant.
 */

export interface BackoffOptions {
  /** Upper bound of the first wait. @default 500 */
  readonly baseMs?: number;
  /** Upper bound of every wait. @default 30000 */
  readonly capMs?: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Counts failures in a row and draws the wait that follows each. */
export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#baseMs = options.baseMs ?? 500;
    this.#capMs = options.capMs ?? 30_000;
    this.#random = options.random;
  }

  /** Failures since the last {@link reset}. */
  get failures(): number {
    return this.#failures;
  }

  /** The wait after one more failure: uniform between 0 and min(cap, base * 2^failures), milliseconds. */
  next(): number {
    const ceiling = Math.min(this.#capMs, this.#baseMs * 2 ** this.#failures);
    this.#failures++;
    return this.#random() * ceiling;
  }

  reset(): void {
    this.#failures = 0;
  }
}
