/**
 * One pod on its node, from its first sight to its last: sandbox (network namespace, CNI ADD), containers, status; and
 * back. Steps run one after the other; a deletion that comes meanwhile is seen behind the step under way.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { createNamespace, deleteNamespace, inNamespaceAt } from "../../kernel/netns.ts";
import { openRouteTable } from "../../kernel/rtnetlink/route-socket.ts";
import { messageOf } from "../../model/errors.ts";
import type { CniResult, CniRuntime } from "./cni-exec.ts";
import { type ContainerExit, type RunningContainer, startContainer } from "./container-process.ts";
import type { LabPod, PodContainer } from "./pod-object.ts";
import { watchReadiness } from "./readiness.ts";
import { type Responder, startResponder } from "./responder.ts";

export interface PodSurroundings {
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  /** The node's own namespace, for hostNetwork pods. */
  readonly nodeNetns: string;
  /** Where pod namespaces are bound. */
  readonly netnsFolder: string;
  readonly cni: CniRuntime;
  readonly log: (message: string, pod: string) => void;
  /** A pod that gets no network: an Event is due. */
  readonly onSandboxError: (pod: LabPod, message: string) => void;
  readonly onOutput: (pod: LabPod, container: string, chunk: Buffer) => void;
  /** Something about the pod changed: its status is to be written. */
  readonly onStatus: (worker: PodWorker) => void;
}

export interface ContainerState {
  readonly name: string;
  readonly image: string;
  readonly state: "waiting" | "running" | "terminated";
  readonly ready: boolean;
  readonly restarts: number;
  readonly message: string;
  readonly startedAt: string;
  readonly exitCode: number;
}

interface Sandbox {
  readonly id: string;
  readonly netns: string;
  readonly ips: readonly string[];
  readonly result: CniResult | undefined;
}

/** Burst that runtimes pass for bandwidth (the largest that a 32-bit byte count holds, as containerd and CRI-O do). */
const BURST_BITS = 2147483647;
const RETRY_FIRST_MS = 200;
const RETRY_LAST_MS = 10_000;

export class PodWorker {
  readonly #around: PodSurroundings;
  #pod: LabPod;
  #sandbox: Sandbox | undefined;
  readonly #containers = new Map<string, ContainerState>();
  readonly #running = new Map<string, RunningContainer>();
  readonly #stops: (() => void)[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  #responder: Responder | undefined;
  #starting: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;
  #message = "";
  readonly startedAt = timestamp();

  constructor(pod: LabPod, around: PodSurroundings) {
    this.#pod = pod;
    this.#around = around;
    for (const container of pod.containers) this.#containers.set(container.name, waiting(container));
  }

  get pod(): LabPod {
    return this.#pod;
  }

  get ips(): readonly string[] {
    return this.#sandbox?.ips ?? [];
  }

  /** Path of the pod's namespace; undefined before it has one. */
  get netns(): string | undefined {
    return this.#sandbox?.netns;
  }

  get containers(): readonly ContainerState[] {
    return [...this.#containers.values()];
  }

  /** Why the pod has no network yet. */
  get message(): string {
    return this.#message;
  }

  update(pod: LabPod): void {
    this.#pod = pod;
  }

  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** Tries once to make the sandbox, and starts the containers in it. @returns false when it is to be tried again */
  async tryStart(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#starting = promise;
    try {
      this.#sandbox = this.#pod.hostNetwork ? this.#hostSandbox() : await this.#makeSandbox();
      this.#message = "";
      if (this.#stopping === undefined) this.#startContainers();
      return true;
    } catch (error) {
      this.#message = messageOf(error);
      this.#around.log(`cannot make the sandbox: ${this.#message}`, this.#label());
      this.#around.onSandboxError(this.#pod, this.#message);
      return false;
    } finally {
      resolve();
      this.#around.onStatus(this);
    }
  }

  /** Ends everything; resolves when the network is given back. Never rejects: what fails is logged and left to GC. */
  stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    await this.#starting;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const stop of this.#stops) stop();
    this.#responder?.close();
    await Promise.all(Array.from(this.#running.values(), (container) => container.stop(graceMs)));
    if (!this.#pod.hostNetwork) await (this.#sandbox ? this.#removeSandbox(this.#sandbox) : this.#removeLeftover());
    this.#sandbox = undefined;
  }

  #hostSandbox(): Sandbox {
    return { id: "host", netns: this.#around.nodeNetns, ips: this.#around.nodeIps, result: undefined };
  }

  async #makeSandbox(): Promise<Sandbox> {
    await this.#removeLeftover();
    const { id, netns } = this.#place();
    createNamespace(netns);
    bringLoopbackUp(netns);
    try {
      const result = await this.#around.cni.add(this.#cniCall(id, netns));
      return { id, netns, ips: result.ips, result };
    } catch (error) {
      await this.#removeSandbox({ id, netns, ips: [], result: undefined });
      throw error;
    }
  }

  /** Both follow from the pod, so that the lab finds the namespace and a restarted kubelet what it left. */
  #place(): { id: string; netns: string } {
    const id = createHash("sha256").update(this.#pod.uid).digest("hex");
    return { id, netns: podNetns(this.#around.netnsFolder, this.#pod.uid) };
  }

  /** Ends what a kubelet that died left of this pod: its processes and its network. */
  async #removeLeftover(): Promise<void> {
    const { id, netns } = this.#place();
    if (!existsSync(netns)) return;
    killProcessesIn(netns);
    await this.#removeSandbox({ id, netns, ips: [], result: undefined });
  }

  async #removeSandbox({ id, netns, result }: Sandbox): Promise<void> {
    try {
      await this.#around.cni.del(this.#cniCall(id, netns), result?.raw);
    } catch (error) {
      this.#around.log(`CNI DEL failed: ${messageOf(error)}`, this.#label());
    }
    deleteNamespace(netns);
  }

  #cniCall(containerId: string, netns: string) {
    const { namespace, name, uid } = this.#pod;
    const args = [
      "IgnoreUnknown=1",
      `K8S_POD_NAMESPACE=${namespace}`,
      `K8S_POD_NAME=${name}`,
      `K8S_POD_INFRA_CONTAINER_ID=${containerId}`,
      `K8S_POD_UID=${uid}`,
    ].join(";");
    return { containerId, netns, ifname: "eth0", args, capabilities: this.#capabilities() };
  }

  #capabilities() {
    const ports = this.#pod.containers
      .flatMap((container) => container.ports)
      .filter(({ hostPort }) => hostPort !== undefined);
    const portMappings = ports.map(({ port, hostPort, protocol }) => {
      return { hostPort, containerPort: port, protocol: protocol.toLowerCase() };
    });
    const { ingressRate, egressRate } = this.#pod.bandwidth;
    const bandwidth = {
      ...(ingressRate === undefined ? {} : { ingressRate, ingressBurst: BURST_BITS }),
      ...(egressRate === undefined ? {} : { egressRate, egressBurst: BURST_BITS }),
    };
    return {
      ...(portMappings.length === 0 ? {} : { portMappings }),
      ...(Object.keys(bandwidth).length === 0 ? {} : { bandwidth }),
    };
  }

  #startContainers(): void {
    const silent = this.#pod.containers.filter((container) => container.command.length === 0);
    try {
      this.#startResponder(silent);
    } catch (error) {
      for (const container of silent)
        this.#set(container.name, { state: "waiting", ready: false, message: messageOf(error) });
    }
    for (const container of this.#pod.containers) if (container.command.length > 0) this.#startProcess(container);
  }

  #startResponder(containers: readonly PodContainer[]): void {
    const { netns = "", ips } = this.#sandbox ?? { ips: [] };
    const ports = containers.flatMap((container) => container.ports).filter(({ port }) => port > 0);
    const ipv6 = ips.some((ip) => ip.includes(":"));
    this.#responder = startResponder(netns, `${this.#pod.namespace}/${this.#pod.name}`, ports, ipv6);
    const message = this.#responder.refused.map(({ port, protocol, why }) => `${protocol} ${port}: ${why}`).join("; ");
    for (const container of containers) {
      this.#set(container.name, {
        state: "running",
        ready: container.readiness === undefined,
        message,
        startedAt: timestamp(),
      });
      this.#watchReadiness(container);
    }
  }

  #startProcess(container: PodContainer): void {
    const { netns = "", ips } = this.#sandbox ?? { ips: [] };
    const env = {
      HOSTNAME: this.#pod.name,
      POD_NAME: this.#pod.name,
      POD_NAMESPACE: this.#pod.namespace,
      POD_IP: ips[0] ?? "",
      NODE_NAME: this.#around.nodeName,
    };
    let running: RunningContainer;
    try {
      running = startContainer(netns, container, env, (chunk) =>
        this.#around.onOutput(this.#pod, container.name, chunk),
      );
    } catch (error) {
      // A command that no system takes: empty, or with a NUL in it.
      this.#onExit(container, { code: 128, reason: `Cannot start: ${messageOf(error)}` });
      return;
    }
    this.#running.set(container.name, running);
    this.#set(container.name, {
      state: "running",
      ready: container.readiness === undefined,
      message: "",
      startedAt: timestamp(),
    });
    const watch = this.#watchReadiness(container);
    running.exited.then((exit) => {
      watch?.stop();
      this.#running.delete(container.name);
      this.#onExit(container, exit);
    });
  }

  #watchReadiness(container: PodContainer): { stop(): void } | undefined {
    if (container.readiness === undefined) return undefined;
    const { netns = "", ips } = this.#sandbox ?? { ips: [] };
    const watch = watchReadiness(container.readiness, ips[0] ?? "", netns, (ready) => {
      this.#set(container.name, { ready });
      this.#around.onStatus(this);
    });
    this.#stops.push(() => watch.stop());
    return watch;
  }

  #onExit(container: PodContainer, { code, reason }: ContainerExit): void {
    this.#set(container.name, { state: "terminated", ready: false, message: reason, exitCode: code });
    if (this.#stopping === undefined && this.#mustRestart(code)) {
      const restarts = this.#containers.get(container.name)?.restarts ?? 0;
      const delay = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** restarts);
      this.#set(container.name, { state: "waiting", restarts: restarts + 1, message: `CrashLoopBackOff: ${reason}` });
      this.#after(delay, () => {
        this.#startProcess(container);
        this.#around.onStatus(this);
      });
    }
    this.#around.onStatus(this);
  }

  #mustRestart(code: number): boolean {
    const { restartPolicy } = this.#pod;
    return restartPolicy === "Always" || (restartPolicy === "OnFailure" && code !== 0);
  }

  #set(name: string, change: Partial<ContainerState>): void {
    const before = this.#containers.get(name);
    if (before !== undefined) this.#containers.set(name, { ...before, ...change });
  }

  #after(delayMs: number, body: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      body();
    }, delayMs);
    this.#timers.add(timer);
  }

  #label(): string {
    return `${this.#pod.namespace}/${this.#pod.name}`;
  }
}

/** Ends what a kubelet that died left running in a pod's namespace. */
function killProcessesIn(netns: string): void {
  const namespace = statSync(netns).ino;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (statSync(`/proc/${pid}/ns/net`).ino === namespace) process.kill(Number(pid), "SIGKILL");
    } catch {
      // It ended meanwhile.
    }
  }
}

/** Where the namespace of a pod is bound. */
export function podNetns(folder: string, uid: string): string {
  return join(folder, `cni-${uid}`);
}

function waiting({ name, image }: PodContainer): ContainerState {
  return { name, image, state: "waiting", ready: false, restarts: 0, message: "", startedAt: timestamp(), exitCode: 0 };
}

export function timestamp(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

function bringLoopbackUp(netns: string): void {
  inNamespaceAt(netns, () => {
    using routes = openRouteTable();
    const loopback = routes.link("lo");
    if (loopback !== undefined) routes.changeLink(loopback.index, { up: true });
  });
}
