/**
 * A cluster for measurements: the lab's API server in this process, nodes as namespaces, real agents in them. What a lab
 * has beside that (kubelets, supervisors, a control socket) is not there to disturb.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openServerSocket } from "../../src/kernel/inet-socket.ts";
import { createApiServer } from "../../src/lab/api/server.ts";
import { makeCertificate } from "../../src/lab/certificates.ts";
import { formatKubeconfig } from "../../src/lab/kubeconfig.ts";
import { createHost, type LabHost } from "../../src/lab/underlay/host.ts";
import type { Ip } from "../../src/model/ip.ts";
import type { Prefix } from "../../src/model/prefix.ts";
import { type AgentProcess, type AgentSettings, startAgentProcess } from "./agent-process.ts";
import { createPlainApi, type PlainApi } from "./plain-api.ts";

/** Agents find the API on their own loopback, as they do in the lab. */
const API_PORT = 6443;
const TOKEN = "bench";

export interface NodeSpec {
  readonly name: string;
  readonly ip: Ip;
  readonly podCidr: Prefix;
}

export class BenchCluster implements AsyncDisposable {
  readonly api: PlainApi;
  /** Where namespaces are bound. */
  readonly netns: string;
  readonly #folder: string;
  readonly #kubeconfig: string;
  readonly #agents: AgentProcess[] = [];

  private constructor(folder: string, api: PlainApi, certificate: string) {
    this.#folder = folder;
    this.api = api;
    this.netns = join(folder, "netns");
    mkdirSync(this.netns, { recursive: true });
    this.#kubeconfig = join(folder, "kubeconfig");
    writeFileSync(this.#kubeconfig, formatKubeconfig(`https://127.0.0.1:${API_PORT}`, certificate, TOKEN));
  }

  /** @param controllers false: nobody reacts to what is written, see {@link createPlainApi} */
  static async start(folder: string, controllers = true): Promise<BenchCluster> {
    const { cert, key } = await makeCertificate(["127.0.0.1"]);
    const tls = { cert, key };
    const create = controllers ? createApiServer : createPlainApi;
    const api = create({ clusterCidrs: ["10.0.0.0/8"], serviceCidrs: ["10.96.0.0/16"], tls, token: TOKEN });
    return new BenchCluster(folder, api, cert);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.stop()));
    await this.api.close();
  }

  /** A machine in which the API can be reached. */
  async host(name: string): Promise<LabHost> {
    const host = createHost(this.netns, name);
    await this.api.listen({ fd: host.run(() => openServerSocket("127.0.0.1", API_PORT, "TCP")) });
    return host;
  }

  /** Registers a node, as its kubelet does. */
  addNode({ name, ip, podCidr }: NodeSpec): void {
    const { store } = this.api;
    const spec = { podCIDR: podCidr, podCIDRs: [podCidr] };
    store.create({ apiVersion: "v1", kind: "Node", metadata: { name }, spec });
    const ready = { type: "Ready", status: "True", reason: "KubeletReady", message: "" };
    const status = { addresses: [{ type: "InternalIP", address: ip }], conditions: [ready] };
    store.modify("nodes", undefined, name, (draft) => Object.assign(draft, { status }), { subresource: "status" });
  }

  removeNode(name: string): void {
    this.api.store.delete("nodes", undefined, name);
  }

  /** A pod that is bound to the node already; the agent looks it up at its ADD. */
  addPod(name: string, nodeName: string): void {
    const spec = { nodeName, containers: [{ name: "main", image: "bench" }] };
    this.api.store.create({ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default" }, spec });
  }

  /** Starts the node's agent and waits until it serves. */
  async startAgent(nodeName: string, host: LabHost, settings: Partial<AgentSettings> = {}): Promise<AgentProcess> {
    const agent = await startAgentProcess({ ...this.agentSettings(nodeName, host), ...settings });
    this.#agents.push(agent);
    return agent;
  }

  /** How an agent of this cluster is started, for whoever does it himself. */
  agentSettings(nodeName: string, host: LabHost, folder = nodeName): AgentSettings {
    return { nodeName, host, folder: join(this.#folder, folder), kubeconfig: this.#kubeconfig };
  }
}
