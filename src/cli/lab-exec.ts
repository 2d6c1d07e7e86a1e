/** `breakwater lab exec`: a command inside a pod's or a node's namespaces, with this terminal. */
import { spawn } from "node:child_process";
import { callLab } from "../lab/control-protocol.ts";
import { labInitPid } from "../lab/launch.ts";
import { nameOption, pathsOf } from "./lab-options.ts";
import { type CommandSpec, formatHelp, parseOptions, usageError } from "./options.ts";

export const labExecSpec = {
  usage: "breakwater lab exec NS/POD|node/NODE [options] -- CMD [ARGS]",
  summary:
    "Runs a command in a pod or on a node (also node/router, node/outside; in a fabric node/spine, node/tor1, …).",
  options: nameOption,
  positionals: [1, 1],
} as const satisfies CommandSpec;

export async function labExec(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(labExecSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(labExecSpec));
    return 0;
  }
  const [target = ""] = parsed.positionals;
  if (parsed.rest.length === 0) throw usageError(labExecSpec, "There is no command behind --");
  const { netns, commands } = await callLab(pathsOf(parsed.values).control, "resolve", { target });
  const pid = labInitPid(parsed.values.name);
  const user = process.geteuid?.() === 0 ? [] : ["--user", "--preserve-credentials"];
  // The path is the lab's own: it is resolved through the root of its first process.
  const namespaces = ["--mount", "--pid", `--net=/proc/${pid}/root${netns}`, `--wd=${process.cwd()}`];
  const child = spawn("nsenter", ["--target", String(pid), ...user, ...namespaces, "--", ...parsed.rest], {
    stdio: "inherit",
    env: commands === undefined ? process.env : { ...process.env, PATH: `${commands}:${process.env["PATH"] ?? ""}` },
  });
  // Ctrl-C is for the command: this process only waits for what it makes of it.
  process.on("SIGINT", () => undefined);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(signal === null ? (code ?? 1) : 128));
  });
}
