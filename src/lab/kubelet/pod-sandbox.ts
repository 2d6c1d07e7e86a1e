/**
 * A pod's network: a namespace made and handed to the CNI plugins, and given back. A pod on the host network has its
 * node's instead. Name and container id follow from the pod, so that a kubelet finds what its predecessor left.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { createNamespace, deleteNamespace, inNamespaceAt } from "../../kernel/netns.ts";
import { openRouteTable } from "../../kernel/rtnetlink/route-socket.ts";
import { messageOf } from "../../model/errors.ts";
import type { CniCall, CniResult, CniRuntime } from "./cni-exec.ts";
import type { ContainerPort } from "./container-spec.ts";
import type { LabPod } from "./pod-object.ts";

export interface SandboxSurroundings {
  readonly nodeIps: readonly string[];
  /** The node's own namespace, for hostNetwork pods. */
  readonly nodeNetns: string;
  /** Where pod namespaces are bound. */
  readonly netnsFolder: string;
  readonly cni: CniRuntime;
  readonly log: (message: string, pod: string) => void;
}

/** Burst that runtimes pass for bandwidth (the largest that a 32-bit byte count holds, as containerd and CRI-O do). */
const BURST_BITS = 2147483647;

export class PodSandbox {
  readonly #pod: LabPod;
  readonly #around: SandboxSurroundings;
  #made = false;
  #ips: readonly string[] = [];
  #result: CniResult | undefined;

  constructor(pod: LabPod, around: SandboxSurroundings) {
    this.#pod = pod;
    this.#around = around;
  }

  /** Empty before it is made; what they were once it is given back. */
  get ips(): readonly string[] {
    return this.#ips;
  }

  /** Path of the namespace that containers run in. */
  get netns(): string {
    return this.#pod.hostNetwork ? this.#around.nodeNetns : podNetns(this.#around.netnsFolder, this.#pod.uid);
  }

  /** @throws what the CNI plugins answered; nothing is left then */
  async make(): Promise<void> {
    if (this.#pod.hostNetwork) {
      this.#ips = this.#around.nodeIps;
      return;
    }
    if (existsSync(this.netns)) await this.#removeLeftover();
    createNamespace(this.netns);
    bringLoopbackUp(this.netns);
    this.#made = true;
    try {
      this.#result = await this.#around.cni.add(this.#call());
      this.#ips = this.#result.ips;
    } catch (error) {
      await this.#remove();
      throw error;
    }
  }

  /** Gives back the network, also what a kubelet that died left. Never rejects: what fails is logged and left to GC. */
  async remove(): Promise<void> {
    if (this.#pod.hostNetwork) return;
    if (this.#made) await this.#remove();
    else if (existsSync(this.netns)) await this.#removeLeftover();
  }

  /** Ends what a kubelet that died left of this pod: its processes and its network. */
  async #removeLeftover(): Promise<void> {
    killProcessesIn(this.netns);
    await this.#remove();
  }

  async #remove(): Promise<void> {
    try {
      await this.#around.cni.del(this.#call(), this.#result?.raw);
    } catch (error) {
      this.#around.log(`CNI DEL failed: ${messageOf(error)}`, `${this.#pod.namespace}/${this.#pod.name}`);
    }
    deleteNamespace(this.netns);
    this.#made = false;
    this.#result = undefined;
  }

  #call(): CniCall {
    const { namespace, name, uid } = this.#pod;
    const containerId = createHash("sha256").update(uid).digest("hex");
    const args = [
      "IgnoreUnknown=1",
      `K8S_POD_NAMESPACE=${namespace}`,
      `K8S_POD_NAME=${name}`,
      `K8S_POD_INFRA_CONTAINER_ID=${containerId}`,
      `K8S_POD_UID=${uid}`,
    ].join(";");
    return { containerId, netns: this.netns, ifname: "eth0", args, capabilities: capabilitiesOf(this.#pod) };
  }
}

/** Where the namespace of a pod is bound. */
export function podNetns(folder: string, uid: string): string {
  return join(folder, `cni-${uid}`);
}

/** What plugins that declare the capability are told: host ports and rates. */
export function capabilitiesOf({ initContainers, containers, bandwidth }: LabPod): Record<string, unknown> {
  const sidecars = initContainers.filter(({ sidecar }) => sidecar);
  const portMappings = [...sidecars, ...containers].flatMap(({ ports }) => ports.flatMap(portMapping));
  const { ingressRate, egressRate } = bandwidth;
  const rates = {
    ...(ingressRate === undefined ? {} : { ingressRate, ingressBurst: BURST_BITS }),
    ...(egressRate === undefined ? {} : { egressRate, egressBurst: BURST_BITS }),
  };
  return {
    ...(portMappings.length === 0 ? {} : { portMappings }),
    ...(Object.keys(rates).length === 0 ? {} : { bandwidth: rates }),
  };
}

function portMapping({ port, hostPort, hostIP, protocol }: ContainerPort) {
  if (hostPort === undefined || hostPort === 0) return [];
  const mapping = { hostPort, containerPort: port, protocol: protocol.toLowerCase() };
  return [hostIP === undefined ? mapping : { ...mapping, hostIP }];
}

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

function bringLoopbackUp(netns: string): void {
  inNamespaceAt(netns, () => {
    using routes = openRouteTable();
    const loopback = routes.link("lo");
    if (loopback !== undefined) routes.changeLink(loopback.index, { up: true });
  });
}
