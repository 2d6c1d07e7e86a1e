/** Runs jobs in the order they came, so many at once and no more. */
export class ParallelQueue {
  readonly #limit: number;
  readonly #onError: (error: unknown) => void;
  readonly #waiting: (() => Promise<void>)[] = [];
  #active = 0;

  /** @param onError told of a job that rejected; the others go on */
  constructor(limit: number, onError: (error: unknown) => void = () => undefined) {
    this.#limit = limit;
    this.#onError = onError;
  }

  push(job: () => Promise<void>): void {
    this.#waiting.push(job);
    this.#next();
  }

  #next(): void {
    while (this.#active < this.#limit) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#active++;
      job()
        .catch(this.#onError)
        .finally(() => {
          this.#active--;
          this.#next();
        });
    }
  }
}
