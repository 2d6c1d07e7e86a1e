/** What was asked of the fake kernel, in order: tests count it and read it. Lists are not written down. */
import type { FakeOperation } from "./failures.ts";

export interface LoggedOperation {
  /** Path of the network namespace. */
  readonly namespace: string;
  readonly operation: FakeOperation;
  readonly object: string;
  /** Name of the errno when it was refused. */
  readonly errno: string | undefined;
}

export class OperationLog {
  #entries: LoggedOperation[] = [];

  add(entry: LoggedOperation): void {
    this.#entries.push(entry);
  }

  /** Everything since the last take. */
  take(): LoggedOperation[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }

  /** The same as lines: "setRoute 10.244.2.0/24 via 192.168.1.2 dev 2", with the errno behind those that failed. */
  takeLines(): string[] {
    return this.take().map(({ operation, object, errno }) =>
      errno === undefined ? `${operation} ${object}` : `${operation} ${object}: ${errno}`,
    );
  }
}
