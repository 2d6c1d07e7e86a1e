/**
 * Runs a program in network, mount and process namespaces of its own: when the first process in them ends, whatever ended
 * it, the kernel ends all others and takes every namespace, link and mount away.
 *
 *   this process ── setpriv (dies with it) + unshare(1) ── sh (pid 1, reaps) ── the program
 */
import { spawn } from "node:child_process";

/** @returns its exit code; 130 when a signal stopped it */
export async function runIsolated(command: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const own = process.geteuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const shell = ["sh", "-c", '"$@" & wait $!', "breakwater-bench", ...command];
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const unshare = ["unshare", ...own, ...namespaces, "--", ...shell];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...unshare], { stdio: "inherit", env });
  // Nothing inside is worth saving: the kernel cleans up.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      process.stderr.write(`bench: stopped by ${signal}\n`);
      child.kill("SIGKILL");
    });
  }
  return new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => {
      // A shell says 128 and the signal's number for a process that a signal ended: nobody else tells.
      if (code !== null && code > 128) process.stderr.write(`bench: ended by signal ${code - 128}\n`);
      resolve(code ?? 130);
    });
  });
}
