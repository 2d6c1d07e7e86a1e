/**
 * One pod on its node, from its first sight to its last: sandbox (network namespace, CNI ADD), init containers,
 * containers, status; and back. Steps run one after the other; a deletion that comes meanwhile is seen behind the step
 * under way.
 */
import { messageOf } from "../../model/errors.ts";
import { type ContainerPlace, ContainerRun, type ContainerState, type RestartPolicy } from "./container-run.ts";
import { GracePeriod } from "./grace-period.ts";
import type { LabPod } from "./pod-object.ts";
import { PodSandbox, type SandboxSurroundings } from "./pod-sandbox.ts";
import { timestamp } from "./timestamp.ts";

export interface PodSurroundings extends SandboxSurroundings {
  readonly nodeName: string;
  /** A pod that gets no network: an Event is due. */
  readonly onSandboxError: (pod: LabPod, message: string) => void;
  readonly onOutput: (pod: LabPod, container: string, chunk: Buffer) => void;
  /** Something about the pod changed: its status is to be written. */
  readonly onStatus: (worker: PodWorker) => void;
}

export class PodWorker {
  readonly #around: PodSurroundings;
  readonly #sandbox: PodSandbox;
  readonly #init: readonly ContainerRun[];
  readonly #main: readonly ContainerRun[];
  #pod: LabPod;
  #starting: Promise<void> = Promise.resolve();
  #initialized = false;
  #grace: GracePeriod | undefined;
  #ended: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #message = "";
  readonly startedAt = timestamp();

  constructor(pod: LabPod, around: PodSurroundings) {
    this.#pod = pod;
    this.#around = around;
    this.#sandbox = new PodSandbox(pod, around);
    const changed = () => around.onStatus(this);
    this.#init = pod.initContainers.map(
      (container) => new ContainerRun(container, initRestartPolicy(pod, container.sidecar), changed),
    );
    this.#main = pod.containers.map((container) => new ContainerRun(container, pod.restartPolicy, changed));
  }

  get pod(): LabPod {
    return this.#pod;
  }

  get ips(): readonly string[] {
    return this.#sandbox.ips;
  }

  /** Every init container is through, or, as a sidecar, started. */
  get initialized(): boolean {
    return this.#initialized;
  }

  get initContainers(): readonly ContainerState[] {
    return this.#init.map(({ state }) => state);
  }

  get containers(): readonly ContainerState[] {
    return this.#main.map(({ state }) => state);
  }

  get sidecars(): readonly ContainerState[] {
    return this.#init.filter(({ container }) => container.sidecar).map(({ state }) => state);
  }

  /** Why the pod has no network yet. */
  get message(): string {
    return this.#message;
  }

  update(pod: LabPod): void {
    this.#pod = pod;
  }

  get stopping(): boolean {
    return this.#grace !== undefined;
  }

  /** Tries once to make the sandbox, and has containers start in it. @returns false when it is to be tried again */
  async tryStart(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#starting = promise;
    try {
      await this.#sandbox.make();
      this.#message = "";
      void this.#startContainers();
      return true;
    } catch (error) {
      this.#message = messageOf(error);
      this.#around.log(`cannot make the sandbox: ${this.#message}`, this.#who);
      this.#around.onSandboxError(this.#pod, this.#message);
      return false;
    } finally {
      resolve();
      this.#around.onStatus(this);
    }
  }

  /** Has the containers end; resolves when they did. Once under way, the grace period can only become shorter. */
  terminate(graceMs: number): Promise<void> {
    this.#grace ??= new GracePeriod();
    this.#grace.endIn(graceMs);
    this.#ended ??= this.#terminate(this.#grace);
    return this.#ended;
  }

  /** Ends everything at once; resolves when the network is given back. Never rejects. */
  stop(): Promise<void> {
    this.#stopped ??= this.terminate(0).then(() => this.#sandbox.remove());
    return this.#stopped;
  }

  /** Sidecars serve the others, and go behind them. */
  async #terminate(grace: GracePeriod): Promise<void> {
    await this.#starting;
    const isSidecar = ({ container }: ContainerRun) => container.sidecar;
    const first = [...this.#main, ...this.#init.filter((run) => !isSidecar(run))];
    await Promise.all(first.map((run) => run.stop(grace.over)));
    await Promise.all(this.#init.filter(isSidecar).map((run) => run.stop(grace.over)));
    grace.cancel();
  }

  async #startContainers(): Promise<void> {
    const place = this.#place();
    for (const run of this.#init) if (!(await this.#runInit(run, place))) return;
    if (this.stopping) return;
    this.#initialized = true;
    for (const run of this.#main) run.start(place);
    this.#around.onStatus(this);
  }

  /** @returns whether the next container may start */
  async #runInit(run: ContainerRun, place: ContainerPlace): Promise<boolean> {
    if (this.stopping) return false;
    if (run.container.sidecar) {
      run.start(place);
      await run.started;
    } else if (run.container.command.length === 0) {
      run.skip();
    } else {
      run.start(place);
      if ((await run.completed) !== 0) return false;
    }
    return !this.stopping;
  }

  #place(): ContainerPlace {
    const { name, namespace, lingers, graceSeconds } = this.#pod;
    const { netns, ips } = this.#sandbox;
    const env = {
      HOSTNAME: name,
      POD_NAME: name,
      POD_NAMESPACE: namespace,
      POD_IP: ips[0] ?? "",
      NODE_NAME: this.#around.nodeName,
    };
    const onOutput = (container: string, chunk: Buffer) => this.#around.onOutput(this.#pod, container, chunk);
    return { who: this.#who, netns, ips, env, lingers, graceMs: graceSeconds * 1000, onOutput };
  }

  get #who(): string {
    return `${this.#pod.namespace}/${this.#pod.name}`;
  }
}

/** An init container that fails is tried again, unless nothing of the pod may be. */
function initRestartPolicy({ restartPolicy }: LabPod, sidecar: boolean): RestartPolicy {
  if (sidecar) return "Always";
  return restartPolicy === "Never" ? "Never" : "OnFailure";
}
