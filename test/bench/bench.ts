/** What a suite is given, and what it gives back. */

import { makeRow, type Row, type RowDetails } from "./row.ts";
import { median } from "./statistics.ts";

export interface BenchOptions {
  /** Fewer rounds: to see that it works, not to quote. */
  readonly quick: boolean;
  /** ADD/DEL pairs of the endurance run. @default 10000, with `quick` 2000 */
  readonly pairs: number | undefined;
}

export interface Suite {
  readonly name: string;
  /** Another name that it goes by: that of the command for users that measures the same. */
  readonly alias?: string;
  readonly run: (bench: Bench) => Promise<void>;
}

/** One run of one suite. */
export class Bench {
  readonly options: BenchOptions;
  /** On tmpfs, as /run is on a node. Removed with the namespaces. */
  readonly folder: string;
  /** On the machine's disk. */
  readonly diskFolder: string;
  readonly rows: Row[] = [];
  /** What did not work: makes the run fail. */
  readonly problems: string[] = [];
  readonly #suite: string;
  readonly #onRow: (row: Row) => void;
  readonly #foreignCores: number[] = [];

  constructor(
    suite: string,
    options: BenchOptions,
    folders: { readonly folder: string; readonly diskFolder: string },
    onRow: (row: Row) => void,
  ) {
    this.#suite = suite;
    this.options = options;
    this.folder = folders.folder;
    this.diskFolder = folders.diskFolder;
    this.#onRow = onRow;
  }

  row(name: string, unit: string, ours: number, details: RowDetails = {}): void {
    const row = makeRow(this.#suite, name, unit, ours, details);
    this.rows.push(row);
    this.#onRow(row);
  }

  problem(text: string): void {
    this.problems.push(text);
  }

  /** Progress, on standard error. */
  say(text: string): void {
    process.stderr.write(`${this.#suite}: ${text}\n`);
  }

  /** Notes how many cores others used while something was measured. */
  noise(foreignCores: number): void {
    this.#foreignCores.push(foreignCores);
  }

  /** How much others disturbed this run; undefined when nothing was noted. */
  noiseReport(): string | undefined {
    if (this.#foreignCores.length === 0) return undefined;
    const middle = median(this.#foreignCores).toFixed(2);
    const most = Math.max(...this.#foreignCores).toFixed(2);
    return `other programs used ${middle} cores (median of ${this.#foreignCores.length} blocks; at most ${most})`;
  }
}
