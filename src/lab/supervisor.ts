/**
 * Keeps the lab's processes running, as a DaemonSet and systemd do on a real node: what exits is started again, with
 * backoff, unless it is held down on purpose.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { inNamespaceAt } from "../kernel/netns.ts";
import { messageOf } from "../model/errors.ts";

export interface ProcessSpec {
  /** "agent node1". */
  readonly name: string;
  readonly netns: string;
  /** @default Node, which runs this program */
  readonly program?: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
}

const RESTART_FIRST_MS = 200;
const RESTART_LAST_MS = 5000;
/** A process that ran this long was well: its next failure is a first one. */
const HEALTHY_MS = 10_000;

export class SupervisedProcess {
  readonly spec: ProcessSpec;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wanted = false;
  #delayMs = RESTART_FIRST_MS;
  #restarts = 0;

  constructor(spec: ProcessSpec) {
    this.spec = spec;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get restarts(): number {
    return this.#restarts;
  }

  start(): void {
    this.#wanted = true;
    clearTimeout(this.#timer);
    if (this.#child === undefined) this.#spawn();
  }

  /** Kills the process and does not start it again until told to. */
  async hold(signal: NodeJS.Signals): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined) return;
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(signal);
    await exited;
  }

  /** Kills the process; it comes back by itself. */
  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  #spawn(): void {
    const { netns, program = process.execPath, args, env, logFile } = this.spec;
    const started = performance.now();
    const log = createWriteStream(logFile, { flags: "a" });
    // A full disk costs the log, not the lab.
    log.on("error", () => undefined);
    const ended = (why: string) => {
      if (why !== "") log.write(`${why}\n`);
      this.#child = undefined;
      if (this.#wanted) this.#restart(performance.now() - started);
    };
    try {
      // fork() happens inside spawn(), on this thread: the process is born in that namespace.
      const child = inNamespaceAt(netns, () =>
        spawn(program, [...args], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] }),
      );
      this.#child = child;
      child.stdout.pipe(log, { end: false });
      child.stderr.pipe(log, { end: false });
      child.once("error", (error) => ended(`cannot start: ${error.message}`));
      child.once("exit", () => ended(""));
      // Its output may still flow behind its end.
      child.once("close", () => log.end());
    } catch (error) {
      ended(`cannot start: ${messageOf(error)}`);
      log.end();
    }
  }

  #restart(livedMs: number): void {
    if (livedMs > HEALTHY_MS) this.#delayMs = RESTART_FIRST_MS;
    this.#restarts++;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#spawn(), this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, RESTART_LAST_MS);
  }
}
