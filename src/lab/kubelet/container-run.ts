/**
 * One container from its first start to its last end: restarts, probes, and the way it is told to go. The order of
 * things is a real kubelet's: startup probe, then readiness and liveness; preStop, then SIGTERM, then SIGKILL.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../model/errors.ts";
import { execIn, type ProbeWatch, watchProbe } from "./container-probe.ts";
import {
  aborted,
  type ContainerExit,
  type RunningContainer,
  startContainer,
  startSilentContainer,
} from "./container-process.ts";
import type { PodContainer } from "./container-spec.ts";
import { timestamp } from "./timestamp.ts";

export interface ContainerState {
  readonly name: string;
  readonly image: string;
  readonly state: "waiting" | "running" | "terminated";
  /** Its startup probe has succeeded, where it has one. */
  readonly started: boolean;
  readonly ready: boolean;
  readonly restarts: number;
  readonly message: string;
  readonly startedAt: string;
  readonly exitCode: number;
}

/** Where a container runs. */
export interface ContainerPlace {
  /** "namespace/pod". */
  readonly who: string;
  readonly netns: string;
  readonly ips: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The responder answers for all of the grace period. */
  readonly lingers: boolean;
  /** What a container has to end in when its liveness probe fails, milliseconds. */
  readonly graceMs: number;
  readonly onOutput: (container: string, chunk: Buffer) => void;
}

export type RestartPolicy = "Always" | "OnFailure" | "Never";

const RETRY_FIRST_MS = 200;
const RETRY_LAST_MS = 10_000;

export class ContainerRun {
  readonly container: PodContainer;
  readonly #restartPolicy: RestartPolicy;
  readonly #onChange: () => void;
  readonly #started = Promise.withResolvers<void>();
  readonly #completed = Promise.withResolvers<number>();
  #place: ContainerPlace | undefined;
  #state: ContainerState;
  #running: RunningContainer | undefined;
  #readiness: ProbeWatch | undefined;
  /** Startup and liveness: both end the container. */
  #deadly: ProbeWatch | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(container: PodContainer, restartPolicy: RestartPolicy, onChange: () => void) {
    this.container = container;
    this.#restartPolicy = restartPolicy;
    this.#onChange = onChange;
    const { name, image } = container;
    const none = { started: false, ready: false, restarts: 0, message: "", startedAt: timestamp(), exitCode: 0 };
    this.#state = { name, image, state: "waiting", ...none };
  }

  get state(): ContainerState {
    return this.#state;
  }

  /** Resolves when it runs for the first time and its startup probe, if any, has succeeded. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Resolves with the exit code of its last run, when no other follows. */
  get completed(): Promise<number> {
    return this.#completed.promise;
  }

  start(place: ContainerPlace): void {
    this.#place = place;
    if (!this.#stopping) this.#start(place);
  }

  /** For an init container without a command: there is nothing it could do. */
  skip(): void {
    this.#set({ state: "terminated", started: true, ready: true });
    this.#completed.resolve(0);
  }

  /** Readiness is watched on until it has ended: Services ask whether a terminating pod still serves. */
  async stop(graceOver: AbortSignal): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#retry);
    this.#deadly?.stop();
    const running = this.#running;
    if (running !== undefined) {
      await this.#preStop(graceOver);
      await running.stop(graceOver);
      await running.exited;
    }
    this.#completed.resolve(this.#state.exitCode);
  }

  #start(place: ContainerPlace): void {
    let running: RunningContainer;
    try {
      running = this.#run(place);
    } catch (error) {
      // A port that is taken, or a command that no system takes: empty, or with a NUL in it.
      this.#onExit({ code: 128, reason: `Cannot start: ${messageOf(error)}` });
      return;
    }
    this.#running = running;
    this.#set({ state: "running", started: false, message: running.message, startedAt: timestamp() });
    this.#watchStartup(place);
    running.exited.then((exit) => this.#onExit(exit));
    this.#onChange();
  }

  #run({ netns, who, ips, env, lingers, onOutput }: ContainerPlace): RunningContainer {
    const { container } = this;
    if (container.command.length > 0)
      return startContainer(netns, container, env, (chunk) => onOutput(container.name, chunk));
    const ipv6 = ips.some((ip) => ip.includes(":"));
    return startSilentContainer(netns, who, container, ipv6, lingers);
  }

  #watchStartup(place: ContainerPlace): void {
    const { startup } = this.container;
    if (startup === undefined) {
      this.#onStarted(place);
      return;
    }
    this.#deadly = watchProbe(startup, target(place), {}, (ok) => {
      this.#deadly?.stop();
      if (ok) this.#onStarted(place);
      else this.#kill(place);
    });
  }

  #onStarted(place: ContainerPlace): void {
    const { readiness, liveness } = this.container;
    this.#set({ started: true, ready: readiness === undefined });
    this.#started.resolve();
    if (readiness !== undefined)
      this.#readiness = watchProbe(readiness, target(place), { verdict: false, soon: true }, (ready) =>
        this.#set({ ready }),
      );
    if (liveness !== undefined)
      this.#deadly = watchProbe(liveness, target(place), { verdict: true }, (alive) => {
        if (!alive) this.#kill(place);
      });
  }

  /** A probe said that it does not work: its restart policy decides what follows. */
  #kill({ graceMs }: ContainerPlace): void {
    this.#deadly?.stop();
    const silent = this.container.command.length === 0;
    void this.#running?.stop(silent ? AbortSignal.abort() : AbortSignal.timeout(graceMs));
  }

  async #preStop(graceOver: AbortSignal): Promise<void> {
    const { preStop } = this.container;
    const place = this.#place;
    if (preStop === undefined || place === undefined || graceOver.aborted) return;
    const done =
      preStop.type === "sleep"
        ? sleep(preStop.seconds * 1000, undefined, { signal: graceOver })
        : execIn(place.netns, preStop.command, place.graceMs);
    // A hook that fails is no reason to stay.
    await Promise.race([done, aborted(graceOver)]).catch(() => undefined);
  }

  #onExit({ code, reason }: ContainerExit): void {
    this.#running = undefined;
    this.#deadly?.stop();
    this.#readiness?.stop();
    this.#set({ state: "terminated", started: false, ready: false, message: reason, exitCode: code });
    const place = this.#place;
    if (place === undefined || this.#stopping || !this.#mustRestart(code)) {
      this.#completed.resolve(code);
      return;
    }
    const { restarts } = this.#state;
    this.#set({ state: "waiting", restarts: restarts + 1, message: `CrashLoopBackOff: ${reason}` });
    this.#retry = setTimeout(() => this.#start(place), Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** restarts));
  }

  #mustRestart(code: number): boolean {
    return this.#restartPolicy === "Always" || (this.#restartPolicy === "OnFailure" && code !== 0);
  }

  #set(change: Partial<ContainerState>): void {
    this.#state = { ...this.#state, ...change };
    this.#onChange();
  }
}

function target({ ips, netns }: ContainerPlace) {
  return { ip: ips[0] ?? "", netns };
}
