/**
 * Benchmarks run in network, mount and process namespaces of their own (src/bench/isolated-run.ts). /run is an empty tmpfs
 * inside, so that neither our files nor those of other plugins (/run/xtables.lock) are the machine's.
 */
import { mkdirSync, rmSync } from "node:fs";
import { runIsolated as runInNamespaces } from "../../src/bench/isolated-run.ts";
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
  try {
    return await runInNamespaces(again, { ...process.env, [INSIDE]: diskFolder });
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
