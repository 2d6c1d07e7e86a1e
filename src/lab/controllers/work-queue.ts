/**
 * Keys that need a look, each once, in the next turn of the event loop: a burst of changes costs one pass. What a
 * controller does with a key must depend on the store's state only, never on the event that queued it.
 */
export class WorkQueue {
  readonly #keys = new Set<string>();
  readonly #reconcile: (key: string) => void;
  readonly #failed: (key: string, error: unknown) => void;
  #stopped = false;

  constructor(reconcile: (key: string) => void, failed: (key: string, error: unknown) => void) {
    this.#reconcile = reconcile;
    this.#failed = failed;
  }

  add(key: string): void {
    if (this.#stopped) return;
    if (this.#keys.size === 0) setImmediate(() => this.#run());
    this.#keys.add(key);
  }

  stop(): void {
    this.#stopped = true;
    this.#keys.clear();
  }

  #run(): void {
    const keys = [...this.#keys];
    this.#keys.clear();
    for (const key of keys) {
      if (this.#stopped) return;
      try {
        this.#reconcile(key);
      } catch (error) {
        this.#failed(key, error);
      }
    }
  }
}
