/**
 * BIRD as a process: where it is installed, what it is started with, and how it is ended when it hangs. It is a child that
 * outlives the agent on purpose (a session of its own, no pipes to us): routing goes on while the agent is away, and the
 * next agent finds it by its control socket.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { BreakwaterError, isBreakwaterError, messageOf } from "../../model/errors.ts";
import { BirdControl } from "./bird-control.ts";

/** Everything of BIRD's, in a folder of the agent's state. */
export interface BirdPaths {
  readonly folder: string;
  readonly config: string;
  readonly socket: string;
  readonly pid: string;
  readonly log: string;
  /** What BIRD says before it knows its log. */
  readonly output: string;
}

export function birdPaths(stateDir: string): BirdPaths {
  const folder = join(stateDir, "bird");
  const at = (name: string) => join(folder, name);
  return {
    folder,
    config: at("bird.conf"),
    socket: at("bird.ctl"),
    pid: at("bird.pid"),
    log: at("bird.log"),
    output: at("bird.out"),
  };
}

/** Daemons live there, and not every PATH has them. */
const DAEMON_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/sbin"];
const START_DEADLINE_MS = 10_000;
const START_POLL_MS = 20;

/** @throws BreakwaterError BW_BGP_BIRD when it is not installed */
export function findBird(path = process.env["PATH"] ?? "", others: readonly string[] = DAEMON_FOLDERS): string {
  for (const folder of [...path.split(delimiter), ...others]) {
    const file = join(folder, "bird");
    if (folder !== "" && existsSync(file)) return file;
  }
  throw new BreakwaterError("BW_BGP_BIRD", "BIRD is not installed: routing by BGP needs the program bird of BIRD 2", {
    operation: "start BIRD",
    object: "bird",
    remedy: "apt-get install bird2, or give --routing auto, direct or vxlan",
  });
}

/**
 * Starts BIRD, whose configuration is written, and waits until it answers.
 * @param recovering the kernel has routes of an earlier one: they stay until peers have sent theirs (graceful restart)
 * @throws BreakwaterError BW_BGP_BIRD with what BIRD said
 */
export async function startBird(paths: BirdPaths, recovering: boolean): Promise<BirdControl> {
  const program = findBird();
  const output = openSync(paths.output, "w", 0o600);
  const args = ["-f", "-c", paths.config, "-s", paths.socket, "-P", paths.pid, ...(recovering ? ["-R"] : [])];
  let child: ChildProcess;
  try {
    child = spawn(program, args, { detached: true, stdio: ["ignore", output, output] });
  } finally {
    closeSync(output);
  }
  child.unref();
  let ended: string | undefined;
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended = `it ended with ${signal ?? `status ${code}`}`;
  });
  const until = performance.now() + START_DEADLINE_MS;
  for (;;) {
    await new Promise((next) => setTimeout(next, START_POLL_MS));
    if (ended !== undefined) throw cannotStart(program, ended, paths);
    const control = await tryOpen(paths.socket);
    if (control !== undefined) return control;
    if (performance.now() > until) {
      child.kill("SIGKILL");
      throw cannotStart(program, `it does not answer within ${START_DEADLINE_MS / 1000} s`, paths);
    }
  }
}

/** The BIRD that an earlier agent left, if one answers. @throws BreakwaterError BW_BGP_CONTROL when it hangs */
export async function tryOpen(socket: string, deadlineMs?: number): Promise<BirdControl | undefined> {
  try {
    return await BirdControl.open(socket, deadlineMs);
  } catch (error) {
    if (isBreakwaterError(error) && error.errno !== "ETIMEDOUT") return undefined;
    throw error;
  }
}

/** Pid of the BIRD that runs with our configuration; undefined when there is none, whatever its file says. */
export function birdPid(paths: BirdPaths): number | undefined {
  try {
    const pid = Number(readFileSync(paths.pid, "utf8").trim());
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words.includes(paths.config) ? pid : undefined;
  } catch {
    // No file, or no such process: both say that it does not run.
    return undefined;
  }
}

/** Ends a BIRD that does not answer. Its routes stay. */
export function killBird(paths: BirdPaths): void {
  const pid = birdPid(paths);
  if (pid !== undefined) process.kill(pid, "SIGKILL");
}

function cannotStart(program: string, why: string, paths: BirdPaths): BreakwaterError {
  let said = "";
  try {
    said = readFileSync(paths.output, "utf8").trim().split("\n").slice(-3).join("; ");
  } catch (error) {
    said = messageOf(error);
  }
  return new BreakwaterError("BW_BGP_BIRD", `BIRD does not start: ${why}${said === "" ? "" : `: ${said}`}`, {
    operation: "start BIRD",
    object: program,
    remedy: `Read ${paths.log}; the agent tries again by itself`,
  });
}
