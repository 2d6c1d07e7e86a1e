/** The time that a pod's containers have to end by themselves. A second deletion may shorten it, never lengthen it. */
export class GracePeriod {
  readonly #over = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #endsAt = Number.POSITIVE_INFINITY;

  /** Aborted when it is over. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  endIn(ms: number): void {
    const at = performance.now() + ms;
    if (at >= this.#endsAt) return;
    this.#endsAt = at;
    clearTimeout(this.#timer);
    if (ms <= 0) this.#over.abort();
    else this.#timer = setTimeout(() => this.#over.abort(), ms);
  }

  /** Nobody waits for its end any more. */
  cancel(): void {
    clearTimeout(this.#timer);
  }
}
