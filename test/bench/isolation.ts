/**
 * Benchmarks run in network, mount and process namespaces of their own: when the first process in them ends, whatever
 * ended it, the kernel ends all others and takes every namespace, link and mount away. /run is an empty tmpfs inside, so
 * that neither our files nor those of other plugins (/run/xtables.lock) are the machine's.
 *
 *   bench ── setpriv (dies with bench) + unshare(1) ── sh (pid 1, reaps) ── bench again, agents, labs, drivers
 */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import * as libc from "../../src/kernel/libc.ts";
import { inNamespaceAt } from "../../src/kernel/netns.ts";
import { openRouteTable } from "../../src/kernel/rtnetlink/route-socket.ts";
import { BreakwaterError } from "../../src/model/errors.ts";

/** Set inside: a folder on the machine's disk, which the outer process removes. */
const INSIDE = "BREAKWATER_BENCH_DISK";
const MS_NODEV_NOSUID = 0x6;

/** The folder on disk, inside the namespaces; undefined outside of them. */
export function isolatedDisk(): string | undefined {
  return process.env[INSIDE];
}

/** Runs this program again inside namespaces. @returns its exit code */
export async function runIsolated(program: string, args: readonly string[], diskFolder: string): Promise<number> {
  if (process.geteuid?.() !== 0) {
    throw new BreakwaterError("BW_NOT_ROOT", "Benchmarks make network namespaces and need root", {
      operation: "bench",
      remedy: "Run them with sudo",
    });
  }
  mkdirSync(diskFolder, { recursive: true });
  const again = [process.execPath, ...process.execArgv, program, ...args];
  const shell = ["sh", "-c", '"$@" & wait $!', "breakwater-bench", ...again];
  const unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", ...shell];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...unshare], {
    stdio: "inherit",
    env: { ...process.env, [INSIDE]: diskFolder },
  });
  // Nothing inside is worth saving: the kernel cleans up.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      process.stderr.write(`bench: stopped by ${signal}\n`);
      child.kill("SIGKILL");
    });
  }
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", (code) => {
        // A shell says 128 and the signal's number for a process that a signal ended: nobody else tells.
        if (code !== null && code > 128) process.stderr.write(`bench: ended by signal ${code - 128}\n`);
        resolve(code ?? 130);
      });
    });
  } finally {
    rmSync(diskFolder, { recursive: true, force: true });
  }
}

/** First thing inside: an empty /run and a loopback. @returns a folder for everything that the run makes */
export function furnish(): string {
  libc.checked(libc.mount("tmpfs", "/run", "tmpfs", MS_NODEV_NOSUID, "mode=0755"), "mount tmpfs on", "/run");
  inNamespaceAt("/proc/self/ns/net", () => {
    using routes = openRouteTable();
    const loopback = routes.link("lo");
    if (loopback !== undefined) routes.changeLink(loopback.index, { up: true });
  });
  const folder = "/run/bench";
  mkdirSync(folder);
  return folder;
}
