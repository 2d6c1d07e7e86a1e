/**
 * Plants one error in a copy of the sources and runs one test there: whoever changes the planner can rely on what its tests say
 * only as long as they notice errors. A mutation whose text is no longer there has to be made anew.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export interface Mutation {
  /** What would be wrong. */
  readonly what: string;
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
  /** The test that has to fail: its file and its whole name. */
  readonly test: readonly [file: string, name: string];
}

export type Verdict = "passed" | "failed" | "did not run";

const ROOT = resolve(".");
const COPIED = ["src", "test/conformance", "package.json", "tsconfig.json"];
const TIMEOUT_MS = 60_000;

/** A copy of the sources in which errors are planted, one at a time. */
export class MutantTree implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "breakwater-mutant-"));

  constructor() {
    for (const path of COPIED) cpSync(join(ROOT, path), join(this.#folder, path), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(this.#folder, "node_modules"));
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }

  /** @throws RangeError when the text to find is not there, or more than once */
  async run(mutation: Mutation): Promise<Verdict> {
    const path = join(this.#folder, mutation.file);
    const source = readFileSync(path, "utf8");
    writeFileSync(path, mutated(source, mutation));
    try {
      const [file, name] = mutation.test;
      return verdictOf(await this.tap(file, [name]), name);
    } finally {
      writeFileSync(path, source);
    }
  }

  /** Runs these tests of a file. @returns what they print as TAP */
  async tap(file: string, names: readonly string[]): Promise<string> {
    const escaped = names.map((name) => name.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
    const args = ["--disable-warning=ExperimentalWarning", "--test", "--test-reporter=tap"];
    const child = spawn(process.execPath, [...args, `--test-name-pattern=/^(?:${escaped.join("|")})$/`, file], {
      cwd: this.#folder,
      // A test that runs inside another one's process reports to that.
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
      stdio: ["ignore", "pipe", "ignore"],
      timeout: TIMEOUT_MS,
    });
    return (await child.stdout.toArray()).join("");
  }
}

export function mutated(source: string, { file, find, replace }: Mutation): string {
  const found = source.split(find).length - 1;
  if (found !== 1) throw new RangeError(`${file} holds ${found} times, not once: ${find}`);
  return source.replace(find, () => replace);
}

/** TAP writes `#` and `\` of a name with a backslash before them. */
export function verdictOf(tap: string, name: string): Verdict {
  const escaped = name.replaceAll("\\", "\\\\").replaceAll("#", "\\#");
  for (const line of tap.split("\n")) {
    const [, not, found] = /^\s*(not )?ok \d+ - (.*?)(?: # .*)?$/.exec(line) ?? [];
    if (found === escaped) return not === undefined ? "passed" : "failed";
  }
  return "did not run";
}
