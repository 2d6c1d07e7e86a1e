/** The measuring programs in C, compiled into build/bench when their source is newer. */
import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BreakwaterError, messageOf } from "../../src/model/errors.ts";

const checkout = fileURLToPath(new URL("../../", import.meta.url));

/** Where compiled tools and a run's files on disk go. */
export const benchBuild = join(checkout, "build", "bench");
/** The program as it ships. BREAKWATER_BENCH_PROGRAM names another build of it, to compare the two. */
export const program = process.env["BREAKWATER_BENCH_PROGRAM"] ?? join(checkout, "build", "breakwater.mjs");

export type ToolName =
  | "cni-driver"
  | "exec-floor"
  | "veth-floor"
  | "path-probe"
  | "connection-load"
  | "flood"
  | "datagram-stream";

/** Path of the compiled tool. @throws BreakwaterError BW_BENCH_COMPILE */
export function tool(name: ToolName): string {
  const source = fileURLToPath(new URL(`c/${name}.c`, import.meta.url));
  const output = join(benchBuild, name);
  if (changedAt(output) > changedAt(source)) return output;
  mkdirSync(benchBuild, { recursive: true });
  const temporary = `${output}.${process.pid}`;
  // The floor is that of a plugin as ours: static.
  const kind = name === "exec-floor" ? ["-static"] : ["-pthread"];
  try {
    execFileSync("cc", ["-O2", "-Wall", "-Wextra", "-Werror", ...kind, source, "-o", temporary], {
      stdio: ["ignore", 2, 2],
    });
  } catch (cause) {
    throw new BreakwaterError("BW_BENCH_COMPILE", `Cannot compile ${source}: ${messageOf(cause)}`, {
      operation: "compile",
      object: source,
      cause,
      remedy: "Read the compiler's message above; gcc and libc6-dev are needed",
    });
  }
  renameSync(temporary, output);
  return output;
}

function changedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
