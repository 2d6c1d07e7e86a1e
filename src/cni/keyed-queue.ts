/** Runs tasks of one key one after the other, in the order they came, and those of different keys at once. */
export class KeyedQueue {
  private readonly last = new Map<string, Promise<unknown>>();

  /** Resolves or rejects as `task` does; a failed task does not stop those behind it. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.last.get(key);
    const mine = before === undefined ? task() : before.then(task, task);
    this.last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.last.get(key) === mine) this.last.delete(key);
    }
  }

  /** Keys that have a task running or waiting. */
  has(key: string): boolean {
    return this.last.has(key);
  }
}
