/** Runs c/cni-driver in a node's namespace and reads what it measured. */
import { spawn } from "node:child_process";
import type { LabHost } from "../../src/lab/underlay/host.ts";
import { BreakwaterError } from "../../src/model/errors.ts";
import { tool } from "./tools.ts";

export interface DriverRun {
  readonly host: LabHost;
  readonly plugin: string;
  /** File with the plugin's configuration as a runtime hands it over. */
  readonly config: string;
  /** Namespaces are netnsPrefix0 … */
  readonly netnsPrefix: string;
  readonly pool: number;
  readonly mode: "block" | "pairs" | "churn";
  readonly count: number;
  readonly parallel?: number;
  /** The process that the plugin asks: its CPU time belongs to the plugin's work. */
  readonly pid?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export interface DriverResult {
  readonly addMs: readonly number[];
  readonly delMs: readonly number[];
  readonly wallMs: number;
  /** CPU time of plugins and `pid`, of all ADDs and of all DELs. Zero ADDs' with "pairs" and "churn". */
  readonly addCpuMs: number;
  readonly delCpuMs: number;
  readonly foreignCores: number;
  readonly failures: number;
  readonly firstFailure: string;
}

export async function runDriver(run: DriverRun): Promise<DriverResult> {
  const { host, plugin, config, netnsPrefix, pool, mode, count, parallel = 1, pid = 0, env = {} } = run;
  const options = { plugin, config, netns: netnsPrefix, pool, count, parallel, pid };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return JSON.parse(await runTool(host, [tool("cni-driver"), ...args, mode], env)) as DriverResult;
}

/** Runs a program in a namespace. @returns what it printed @throws BreakwaterError BW_BENCH_TOOL when it fails */
export async function runTool(
  host: LabHost,
  [file = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = host.run(() =>
    spawn(file, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] }),
  );
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", resolve);
  });
  const output = (await child.stdout.toArray()).join("");
  const code = await ended;
  if (code === 0) return output;
  throw new BreakwaterError("BW_BENCH_TOOL", `${file} ${args.join(" ")} ended with code ${code}`, {
    operation: "measure",
    object: file,
    remedy: "Its message is above",
  });
}
