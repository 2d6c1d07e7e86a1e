/**
 * Starts a lab's daemon as the first process of namespaces of its own: network, mounts, processes, and without root a
 * user namespace. When that process ends, whatever ended it, the kernel ends all others and takes every namespace, link
 * and mount away. util-linux's unshare(1) does what Node cannot: it is one thread.
 *
 *   this command ── unshare(1) ── sh (pid 1, reaps) ── daemon ── agents, kubelets, pods
 */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { Readable } from "node:stream";
import { openServerSocket } from "../kernel/inet-socket.ts";
import * as libc from "../kernel/libc.ts";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { callLab } from "./control-protocol.ts";
import type { DaemonConfig } from "./daemon.ts";
import { type LabPaths, labParent, labPaths } from "./paths.ts";
import type { LabOptions } from "./topology.ts";

interface LabProcess {
  readonly pid: number;
  /** Start time of the process (field 22 of /proc/PID/stat): a number that is reused has another. */
  readonly startTime: string;
}

const LOOPBACK = "127.0.0.1";

/** @param program path of the program that agents and kubelets are started with */
export async function launchLab(
  options: LabOptions,
  program: string,
  onStep: (step: string) => void,
): Promise<LabPaths> {
  const paths = labPaths(options.name);
  await refuseRunning(paths, options.name);
  refuseWithoutNamespaces();
  makeFolder(paths);
  const apiPort = await freePort();
  const apiFd = openServerSocket(LOOPBACK, apiPort, "TCP");
  try {
    await startDaemon({ options, program, apiFd: 3, apiPort }, apiFd, paths, onStep);
  } catch (error) {
    await removeLab(options.name);
    throw error;
  } finally {
    libc.close(apiFd);
  }
  return paths;
}

function makeFolder(paths: LabPaths): void {
  try {
    rmSync(paths.root, { recursive: true, force: true });
    mkdirSync(paths.logs, { recursive: true, mode: 0o700 });
    chmodSync(paths.root, 0o700);
  } catch (cause) {
    throw new BreakwaterError("BW_LAB_START", `Cannot make the lab's folder: ${messageOf(cause)}`, {
      operation: "make folder",
      object: paths.root,
      cause,
      remedy: "Set BREAKWATER_LAB_DIR to a folder that you can write",
    });
  }
}

async function refuseRunning(paths: LabPaths, name: string): Promise<void> {
  if (!existsSync(paths.root)) return;
  const alive = readProcess(paths);
  if (alive === undefined) return;
  throw new BreakwaterError("BW_REFUSED", `Lab "${name}" is up already (process ${alive.pid})`, {
    operation: "start lab",
    object: name,
    remedy: `Use it, take it down with 'breakwater lab down --name ${name}', or give the new one another --name`,
  });
}

/**
 * Root can always make namespaces; others where the kernel lets them make a user namespace.
 * @throws BreakwaterError BW_NOT_ROOT naming the setting that forbids it
 */
export function refuseWithoutNamespaces(what = "a lab"): void {
  if (process.geteuid?.() === 0) return;
  const limits = [
    ["/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"],
    ["/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"],
    [
      "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
      "1",
      "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ],
  ] as const;
  for (const [file, bad, remedy] of limits) {
    if (!existsSync(file) || readFileSync(file, "utf8").trim() !== bad) continue;
    throw new BreakwaterError("BW_NOT_ROOT", `Without root ${what} needs user namespaces, and ${file} is ${bad}`, {
      operation: `start ${what}`,
      object: file,
      remedy: `Run as root, or let the administrator set: ${remedy}`,
    });
  }
}

/** A port that nobody has now. The lab's socket is opened by system call, to be handed on: Node picks the number. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, LOOPBACK, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

async function startDaemon(
  config: DaemonConfig,
  apiFd: number,
  paths: LabPaths,
  onStep: (step: string) => void,
): Promise<void> {
  const own = process.geteuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  // sh is pid 1 of the lab: it waits for the daemon, and reaps what loses its parent.
  const shell = ["sh", "-c", '"$@" & wait $!', "breakwater-lab"];
  const daemon = [process.execPath, config.program, "lab-daemon", JSON.stringify(config)];
  const args = [
    ...own,
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--",
    ...shell,
    ...daemon,
  ];
  const log = openLog(`${paths.logs}/daemon.log`);
  // The daemon is root in its namespaces: it must not look for root's folder.
  const env = { ...process.env, BREAKWATER_LAB_DIR: labParent() };
  const child = spawn("unshare", args, { env, detached: true, stdio: ["ignore", log, log, apiFd, "pipe"] });
  libc.close(log);
  const failed = new Promise<never>((_, reject) => {
    child.once("error", (cause) => reject(startError(paths, `unshare: ${cause.message}`)));
    child.once("exit", (code) => reject(startError(paths, `its process ended with code ${code}`)));
  });
  failed.catch(() => undefined);
  if (child.pid !== undefined) {
    writeFileSync(paths.process, JSON.stringify({ pid: child.pid, startTime: startTimeOf(child.pid) }));
  }
  await Promise.race([followSteps(child.stdio[4] as Readable, paths, onStep), failed]);
  child.unref();
  (child.stdio[4] as Readable).destroy();
}

const O_WRONLY_CREATE_APPEND = 0o1 | 0o100 | 0o2000;

function openLog(path: string): number {
  return libc.checked(libc.open(path, O_WRONLY_CREATE_APPEND, 0o600), "open log", path);
}

/** The step that says the lab answers. */
const LAST_STEP = "agents and kubelets are starting";

function followSteps(stream: Readable, paths: LabPaths, onStep: (step: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = "";
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8");
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const { step, error } = JSON.parse(text.slice(0, end)) as { step?: string; error?: string };
        text = text.slice(end + 1);
        if (error !== undefined) reject(startError(paths, error));
        if (step !== undefined) onStep(step);
        if (step === LAST_STEP) resolve();
      }
    });
  });
}

function startError(paths: LabPaths, why: string): BreakwaterError {
  const log = existsSync(`${paths.logs}/daemon.log`) ? readFileSync(`${paths.logs}/daemon.log`, "utf8").trim() : "";
  const said = log === "" ? "" : `\n${log.split("\n").slice(-5).join("\n")}`;
  return new BreakwaterError("BW_LAB_START", `Cannot start the lab: ${why}${said}`, {
    operation: "start lab",
    object: paths.root,
    remedy:
      "Run as root on a Linux kernel with network, mount and process namespaces, veth, bridge, vxlan and nf_tables",
  });
}

function startTimeOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command's name, in brackets, may hold spaces.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

/** The lab's first process outside its namespaces; undefined when it is gone. */
function readProcess(paths: LabPaths): LabProcess | undefined {
  try {
    const saved = JSON.parse(readFileSync(paths.process, "utf8")) as LabProcess;
    return saved.startTime !== "" && isAlive(saved) ? saved : undefined;
  } catch {
    return undefined;
  }
}

/** Pid of the lab's first process inside its namespaces, as this process sees it: the child of unshare(1). */
export function labInitPid(name: string): number {
  const paths = labPaths(name);
  const outer = readProcess(paths);
  const children = outer === undefined ? "" : readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, "utf8");
  const pid = Number(children.trim().split(" ")[0]);
  if (pid > 0) return pid;
  throw new BreakwaterError("BW_LAB_DOWN", `Lab "${name}" is not up`, {
    operation: "find lab",
    object: name,
    remedy: "Start it with 'breakwater lab up', or name another with --name",
  });
}

const DOWN_PATIENCE_MS = 5000;

/**
 * Ends a lab, politely or not, and removes its folder. @returns false when there was none
 */
export async function removeLab(name: string): Promise<boolean> {
  const paths = labPaths(name);
  if (!existsSync(paths.root)) return false;
  const outer = readProcess(paths);
  if (outer !== undefined) {
    // A daemon that hangs does not answer: it is not waited for longer than one that dies slowly.
    const asked = callLab(paths.control, "down", {}).catch(() => undefined);
    await Promise.race([asked, ended(outer, DOWN_PATIENCE_MS)]);
    if (!(await ended(outer, DOWN_PATIENCE_MS))) {
      // unshare --kill-child takes the whole lab with it.
      process.kill(outer.pid, "SIGKILL");
      await ended(outer, DOWN_PATIENCE_MS);
    }
  }
  rmSync(paths.root, { recursive: true, force: true });
  removeWhenEmpty(labParent());
  return true;
}

/** The folder of all labs goes with the last one, unless somebody chose it. */
function removeWhenEmpty(folder: string): void {
  if (process.env["BREAKWATER_LAB_DIR"] !== undefined) return;
  try {
    rmdirSync(folder);
  } catch {
    // Another lab is there.
  }
}

/** Waits for a process that is not ours to wait for: there is no event, so it is looked for in short steps. */
async function ended({ pid, startTime }: LabProcess, patienceMs: number): Promise<boolean> {
  const until = performance.now() + patienceMs;
  while (isAlive({ pid, startTime })) {
    if (performance.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}

/** A zombie has ended: it only waits for its parent to look. */
function isAlive({ pid, startTime }: LabProcess): boolean {
  return startTimeOf(pid) === startTime && !isZombie(pid);
}

function isZombie(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}
