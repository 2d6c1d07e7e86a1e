/**
 * The lab's kubelet: registers its node, runs the pods that are bound to it, writes their status, and gives back the
 * network of those that are deleted. One process a node; it serves the built-in responders of all its pods.
 */
import { isNotFound, KubeApiError } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { EventRecorder } from "../../kube/events.ts";
import { Reflector } from "../../kube/reflector.ts";
import { nodes, pods } from "../../kube/resource.ts";
import { messageOf } from "../../model/errors.ts";
import type { CniRuntime } from "./cni-exec.ts";
import { nodeObject, nodeStatus } from "./node-object.ts";
import { ParallelQueue } from "./parallel-queue.ts";
import { type LabPod, parseLabPod } from "./pod-object.ts";
import { podStatus } from "./pod-status.ts";
import { type PodSurroundings, PodWorker } from "./pod-worker.ts";

export interface KubeletOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeNetns: string;
  readonly netnsFolder: string;
  readonly cni: CniRuntime;
  readonly log: (fields: object, message: string) => void;
  readonly onOutput: PodSurroundings["onOutput"];
}

/** ADDs under way at once, as a real kubelet's runtime has. */
const PARALLEL_STARTS = 10;
/** DELs under way at once. */
const PARALLEL_STOPS = 20;
const RETRY_MS = 500;
const START_RETRY_FIRST_MS = 200;
const START_RETRY_LAST_MS = 10_000;
const CONF_CHECK_MS = 500;

export class Kubelet {
  readonly #options: KubeletOptions;
  readonly #workers = new Map<string, PodWorker>();
  readonly #dirty = new Set<PodWorker>();
  readonly #reflector: Reflector<LabPod>;
  readonly #events: EventRecorder;
  readonly #starts = new ParallelQueue(PARALLEL_STARTS, (error) => this.#logJob(error));
  readonly #stops = new ParallelQueue(PARALLEL_STOPS, (error) => this.#logJob(error));
  /** Pods that are being stopped or taken out of the API, by uid: each once, however often the API tells of them. */
  readonly #leaving = new Set<string>();
  #ready = false;
  #confTimer: NodeJS.Timeout | undefined;

  constructor(options: KubeletOptions) {
    this.#options = options;
    this.#events = new EventRecorder({
      client: options.client,
      component: "kubelet",
      host: options.nodeName,
      onDropped: (reason, subject, why) => options.log({ reason, pod: subject.name, why }, "event was not written"),
    });
    this.#reflector = new Reflector<LabPod>({
      client: options.client,
      resource: pods,
      selection: { fieldSelector: `spec.nodeName=${options.nodeName}` },
      parse: parseLabPod,
      unparsable: "last-good",
      onProblem: (problem) => options.log(problem, "pod cannot be read"),
      onError: (error) => options.log({ error: messageOf(error) }, "the API cannot be read"),
      // The API is on this machine: try again soon.
      timing: { backoffBaseMs: 50, backoffCapMs: 2000 },
    });
  }

  async start(): Promise<void> {
    await this.#register();
    this.#reflector.onChange(() => this.#sync());
    this.#reflector.start();
    this.#checkReady();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#confTimer);
    await this.#reflector.stop();
    await Promise.all(Array.from(this.#workers.values(), (worker) => worker.stop()));
  }

  async #register(): Promise<void> {
    const { client } = this.#options;
    const object = nodeObject(this.#options);
    try {
      await client.create(nodes, undefined, object);
    } catch (error) {
      // The node is known from before: only its status is ours.
      if (!(error instanceof KubeApiError) || error.status !== 409) throw error;
    }
    await this.#writeNodeStatus(false);
  }

  /**
   * A kubelet calls its node ready when the runtime has a network configuration. It looks again and again: inotify
   * instances are few (128 a user), and a large lab would use them up.
   */
  #checkReady(): void {
    const ready = this.#options.cni.ready();
    this.#confTimer = setTimeout(() => this.#checkReady(), ready ? CONF_CHECK_MS : CONF_CHECK_MS / 10);
    if (ready === this.#ready) return;
    this.#ready = ready;
    this.#writeNodeStatus(ready).catch((error: unknown) => {
      this.#ready = !ready;
      this.#options.log({ error: messageOf(error) }, "cannot write the node's status");
    });
    if (ready) this.#sync();
  }

  async #writeNodeStatus(ready: boolean): Promise<void> {
    const address = { resource: nodes, name: this.#options.nodeName, subresource: "status" };
    await this.#options.client.patch(address, { status: nodeStatus(this.#options, ready) }, { type: "merge" });
  }

  #sync(): void {
    const items = this.#reflector.items();
    const uids = new Set(Array.from(items.values(), ({ uid }) => uid));
    for (const uid of this.#leaving) if (!uids.has(uid) && !this.#workers.has(uid)) this.#leaving.delete(uid);
    for (const worker of this.#workers.values()) if (!uids.has(worker.pod.uid)) this.#remove(worker, false);
    for (const pod of items.values()) this.#syncPod(pod);
  }

  #syncPod(pod: LabPod): void {
    const worker = this.#workers.get(pod.uid);
    if (worker === undefined) {
      // Its end is on its way to the API.
      if (this.#leaving.has(pod.uid)) return;
      // A predecessor may have left it running: what never started here is stopped like everything else.
      if (pod.deleting) this.#remove(this.#addWorker(pod), true);
      else if (pod.over) this.#retire(this.#addWorker(pod));
      else if (this.#ready || pod.hostNetwork) this.#start(this.#addWorker(pod), START_RETRY_FIRST_MS);
      return;
    }
    worker.update(pod);
    if (pod.deleting) this.#remove(worker, true);
    else if (pod.over) this.#retire(worker);
  }

  /** A pod that is through, or was evicted, is an object only: it gives back its network and never runs again. */
  #retire(worker: PodWorker): void {
    if (worker.stopping) return;
    void worker.terminate(worker.pod.graceSeconds * 1000).then(() => this.#stops.push(() => worker.stop()));
  }

  #addWorker(pod: LabPod): PodWorker {
    const { nodeName, nodeIps, nodeNetns, netnsFolder, cni, log, onOutput } = this.#options;
    const worker = new PodWorker(pod, {
      nodeName,
      nodeIps,
      nodeNetns,
      netnsFolder,
      cni,
      onOutput,
      log: (message, name) => log({ pod: name }, message),
      onSandboxError: (failed, message) => this.#reportSandbox(failed, message),
      onStatus: (changed) => this.#writeSoon(changed),
    });
    this.#workers.set(pod.uid, worker);
    return worker;
  }

  #logJob(error: unknown): void {
    this.#options.log({ error: messageOf(error) }, "a pod could not be started or stopped");
  }

  /** One attempt a slot: a pod that cannot start waits outside and holds up nobody. */
  #start(worker: PodWorker, retryMs: number): void {
    this.#starts.push(async () => {
      if (worker.stopping || (await worker.tryStart())) return;
      setTimeout(() => this.#start(worker, Math.min(retryMs * 2, START_RETRY_LAST_MS)), retryMs);
    });
  }

  /** As a real kubelet does: `kubectl describe pod` shows what the CNI plugin said. */
  #reportSandbox({ namespace, name, uid }: LabPod, message: string): void {
    const subject = { apiVersion: "v1", kind: "Pod", namespace, name, uid };
    this.#events.record(subject, "Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${message}`);
  }

  #remove(worker: PodWorker, known: boolean): void {
    const { pod } = worker;
    // Behind a second deletion with a shorter grace period, or one that waits for none, there is less time than before.
    const ended = worker.terminate(known ? pod.graceSeconds * 1000 : 0);
    if (this.#leaving.has(pod.uid)) return;
    this.#leaving.add(pod.uid);
    // Containers end side by side, however long it takes them; what is counted is networks given back at once.
    void ended.then(() =>
      this.#stops.push(async () => {
        await worker.stop();
        this.#workers.delete(pod.uid);
        this.#dirty.delete(worker);
        if (known) await this.#finalize(pod);
      }),
    );
  }

  /** Tells the API that nothing of the pod is left. */
  async #finalize({ namespace, name, uid }: LabPod): Promise<void> {
    try {
      await this.#options.client.delete({ resource: pods, namespace, name }, { gracePeriodSeconds: 0, uid });
    } catch (error) {
      if (isNotFound(error)) return;
      this.#options.log(
        { pod: `${namespace}/${name}`, error: messageOf(error) },
        "cannot delete the pod; trying again",
      );
      this.#leaving.delete(uid);
      setTimeout(() => this.#sync(), RETRY_MS);
    }
  }

  /** Status writes of one pod are coalesced: the last one says all. */
  #writeSoon(worker: PodWorker): void {
    if (this.#dirty.has(worker)) return;
    this.#dirty.add(worker);
    setImmediate(() => {
      if (!this.#dirty.delete(worker) || !this.#workers.has(worker.pod.uid)) return;
      this.#writeStatus(worker).catch((error: unknown) => {
        if (isNotFound(error)) return;
        this.#options.log({ pod: worker.pod.name, error: messageOf(error) }, "cannot write the pod's status");
        setTimeout(() => this.#writeSoon(worker), 500);
      });
    });
  }

  async #writeStatus(worker: PodWorker): Promise<void> {
    const { namespace, name, uid } = worker.pod;
    // A pod of the same name that came behind it is not ours to describe, and what is over stays over.
    const known = this.#reflector.items().get(`${namespace}/${name}`);
    if (known?.uid !== uid || known.over) return;
    const address = { resource: pods, namespace, name, subresource: "status" };
    await this.#options.client.patch(
      address,
      { status: podStatus(worker, this.#options.nodeIps) },
      { type: "strategic" },
    );
  }
}
