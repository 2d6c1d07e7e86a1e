/** Labs for end-to-end tests: driven by bin/breakwater alone, in a folder of their own, taken down whatever happens. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PATIENCE } from "./peers/patience.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const PROGRAM = resolve("bin/breakwater");

export { PATIENCE };

/** Longer than anything here takes on a busy machine. */
const TIMEOUT_MS = PATIENCE * 120_000;

export function run(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  input?: string,
): Promise<Outcome> {
  return new Promise((done) => {
    const options = { env: { ...process.env, ...env }, timeout: TIMEOUT_MS, maxBuffer: 64 << 20 };
    const child = execFile(file, [...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 128;
      done({ code, stdout, stderr });
    });
    if (input !== undefined) child.stdin?.end(input);
  });
}

/** A folder for labs; several labs may live in it. */
export class LabHome {
  readonly folder = mkdtempSync(join(tmpdir(), "breakwater-e2e-"));
  readonly #names = new Set<string>();

  /** `breakwater lab VERB --name NAME ARGS`. */
  lab(name: string, verb: string, ...args: readonly string[]): Promise<Outcome> {
    this.#names.add(name);
    const separator = args.indexOf("--");
    const own = separator < 0 ? args : args.slice(0, separator);
    const rest = separator < 0 ? [] : args.slice(separator);
    return this.program("lab", verb, "--name", name, ...own, ...rest);
  }

  program(...args: readonly string[]): Promise<Outcome> {
    return run(PROGRAM, args, { BREAKWATER_LAB_DIR: join(this.folder, "labs") });
  }

  kubeconfig(name: string): string {
    return join(this.folder, "labs", name, "kubeconfig");
  }

  kubectl(name: string, args: readonly string[], input?: string): Promise<Outcome> {
    const env = { KUBECONFIG: this.kubeconfig(name), HOME: this.folder };
    return run("kubectl", ["--cache-dir", join(this.folder, "cache"), ...args], env, input);
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  async close(): Promise<void> {
    for (const name of this.#names) await this.lab(name, "down");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Tries again until `check` passes or a deadline is over; then the last failure is the test's. */
export async function eventually(deadlineMs: number, check: () => Promise<void>): Promise<void> {
  const until = performance.now() + deadlineMs;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((next) => setTimeout(next, 20));
    }
  }
}

/** A Pod manifest; without a command it is a responder on its ports. */
export function podManifest(name: string, spec: object = {}, metadata: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", ...metadata },
    spec: {
      containers: [
        {
          name: "main",
          image: "responder",
          ports: [{ containerPort: 80 }, { containerPort: 53, protocol: "UDP" }],
        },
      ],
      ...spec,
    },
  };
}
