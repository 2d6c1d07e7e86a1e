/** A container with a command: a process on this machine's file system, in the pod's network namespace. */
import { type ChildProcess, spawn } from "node:child_process";
import { inNamespaceAt } from "../../kernel/netns.ts";
import type { PodContainer } from "./pod-object.ts";

export interface ContainerExit {
  readonly code: number;
  readonly reason: string;
}

export interface RunningContainer {
  readonly exited: Promise<ContainerExit>;
  /** SIGTERM, and SIGKILL after the grace period. Resolves when the process is gone. */
  stop(graceMs: number): Promise<void>;
}

/** Last lines of a container's output, for its status when it fails. */
const KEPT_OUTPUT_BYTES = 2048;

export function startContainer(
  netns: string,
  container: PodContainer,
  env: Readonly<Record<string, string>>,
  onOutput: (chunk: Buffer) => void,
): RunningContainer {
  const [file = "", ...args] = container.command;
  // fork() happens inside spawn(), on this thread: the child is born in the pod's namespace.
  const child = inNamespaceAt(netns, () =>
    spawn(file, args, {
      env: { PATH: process.env["PATH"] ?? "", ...env, ...container.env },
      cwd: container.workingDir ?? "/",
      stdio: ["ignore", "pipe", "pipe"],
      // A process group of its own: what the command starts is stopped with it.
      detached: true,
    }),
  );
  let tail = "";
  const keep = (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-KEPT_OUTPUT_BYTES);
    onOutput(chunk);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const exited = new Promise<ContainerExit>((resolve) => {
    child.on("error", (error) => resolve({ code: 127, reason: `Cannot start "${file}": ${error.message}` }));
    child.on("exit", (code, signal) => resolve({ code: code ?? 128, reason: exitReason(code, signal, tail) }));
  });
  return { exited, stop: (graceMs) => stop(child, exited, graceMs) };
}

function exitReason(code: number | null, signal: NodeJS.Signals | null, tail: string): string {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  return tail === "" ? how : `${how}: ${tail.trim()}`;
}

async function stop(child: ChildProcess, exited: Promise<ContainerExit>, graceMs: number): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  signalGroup(pid, "SIGTERM");
  const timer = setTimeout(() => signalGroup(pid, "SIGKILL"), graceMs);
  await exited;
  clearTimeout(timer);
  // What outlived the first process of the group.
  signalGroup(pid, "SIGKILL");
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: the whole group is gone already.
  }
}
