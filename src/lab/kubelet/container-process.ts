/** What runs in a container: a process on this machine's file system, in the pod's network namespace, or the responder. */
import { type ChildProcess, spawn } from "node:child_process";
import { inNamespaceAt } from "../../kernel/netns.ts";
import type { PodContainer } from "./container-spec.ts";
import { startResponder } from "./responder.ts";

export interface ContainerExit {
  readonly code: number;
  readonly reason: string;
}

export interface RunningContainer {
  readonly exited: Promise<ContainerExit>;
  /** Ports that could not be served, in words. */
  readonly message: string;
  /** SIGTERM, and SIGKILL when the grace period is over. Resolves when nothing of it is left. */
  stop(graceOver: AbortSignal): Promise<void>;
}

/** 128 + SIGKILL, as shells and container runtimes count. */
const KILLED: ContainerExit = { code: 137, reason: "signal SIGKILL" };

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
  return { exited, message: "", stop: (graceOver) => stop(child, exited, graceOver) };
}

/**
 * A container without a command.
 * @param lingers go on answering until the grace period is over
 * @throws BreakwaterError BW_SOCKET when a port is taken
 */
export function startSilentContainer(
  netns: string,
  who: string,
  { ports }: PodContainer,
  ipv6: boolean,
  lingers: boolean,
): RunningContainer {
  const responder = startResponder(
    netns,
    who,
    ports.filter(({ port }) => port > 0),
    ipv6,
  );
  const { promise: exited, resolve } = Promise.withResolvers<ContainerExit>();
  return {
    exited,
    message: responder.refused.map(({ port, protocol, why }) => `${protocol} ${port}: ${why}`).join("; "),
    stop: async (graceOver) => {
      if (lingers) await aborted(graceOver);
      responder.close();
      resolve(graceOver.aborted ? KILLED : { code: 0, reason: "" });
    },
  };
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function exitReason(code: number | null, signal: NodeJS.Signals | null, tail: string): string {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  return tail === "" ? how : `${how}: ${tail.trim()}`;
}

async function stop(child: ChildProcess, exited: Promise<ContainerExit>, graceOver: AbortSignal): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  const kill = () => signalGroup(pid, "SIGKILL");
  if (graceOver.aborted) kill();
  else signalGroup(pid, "SIGTERM");
  graceOver.addEventListener("abort", kill);
  await exited;
  graceOver.removeEventListener("abort", kill);
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
