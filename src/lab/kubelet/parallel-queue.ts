/** Runs jobs in the order they came, so many at once and no more. */
export class ParallelQueue {
  readonly #limit: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  #active = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @param job must not reject */
  push(job: () => Promise<void>): void {
    this.#waiting.push(job);
    this.#next();
  }

  #next(): void {
    while (this.#active < this.#limit) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#active++;
      job().finally(() => {
        this.#active--;
        this.#next();
      });
    }
  }
}
