/**
 * A node with the real agent and the real plugin, and somebody outside of the cluster, without a lab around them: pods are
 * attached and detached as fast as a runtime can.
 *
 *   outside ══ wire ══ node1 ── pods
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNamespace, deleteNamespace, openNamespace } from "../../src/kernel/netns.ts";
import type { NewObject } from "../../src/lab/api/store.ts";
import { CniRuntime } from "../../src/lab/kubelet/cni-exec.ts";
import { configureLink, createHost, type LabHost } from "../../src/lab/underlay/host.ts";
import type { Ip } from "../../src/model/ip.ts";
import { deriveMac } from "../../src/model/mac.ts";
import { type AgentProcess, spawnAgent } from "../bench/agent-process.ts";
import { BenchCluster } from "../bench/cluster.ts";
import { tool } from "../bench/tools.ts";
import { eventually } from "./lab-fixture.ts";

const NODE = "node1";
const NODE_IPS = ["192.168.0.1", "fd00:1::1"] as const;
const OUTSIDE_IPS = ["192.168.0.9", "fd00:1::9"] as const;
const POD_CIDRS = ["10.244.1.0/24", "fd00:10:244:1::/64"] as const;
const SETTINGS = { routing: "direct", probePort: 0 } as const;
const PATIENCE_MS = 20_000;

/** Both addresses of pod number `host` of the node. */
export function podIps(host: number): readonly [Ip, Ip] {
  return [`10.244.1.${host}`, `fd00:10:244:1::${host.toString(16)}`];
}

export interface StartedPod {
  readonly name: string;
  readonly netns: string;
  stop(): Promise<void>;
}

export class WindowStage implements AsyncDisposable {
  readonly #folder: string;
  readonly #cluster: BenchCluster;
  readonly #node: LabHost;
  readonly outside: LabHost;
  /** The first one says where the plugin is. */
  #agent: AgentProcess | undefined;
  #successor: ChildProcess | undefined;

  private constructor(folder: string, cluster: BenchCluster, node: LabHost, outside: LabHost) {
    this.#folder = folder;
    this.#cluster = cluster;
    this.#node = node;
    this.outside = outside;
  }

  static async open(): Promise<WindowStage> {
    const folder = mkdtempSync(join(tmpdir(), "breakwater-window-"));
    const cluster = await BenchCluster.start(join(folder, "cluster"), false);
    const node = await cluster.host(NODE);
    const outside = createHost(cluster.netns, "outside");
    connect(node, outside);
    addNode(cluster);
    return new WindowStage(folder, cluster, node, outside);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#successor !== undefined) await ended(this.#successor, "SIGTERM");
    await this.#cluster[Symbol.asyncDispose]();
    for (const host of [this.#node, this.outside]) host.routes.close();
    for (const name of readdirSync(this.#cluster.netns)) deleteNamespace(join(this.#cluster.netns, name));
    rmSync(this.#folder, { recursive: true });
  }

  async startAgent(): Promise<void> {
    this.#agent = await this.#cluster.startAgent(NODE, this.#node, SETTINGS);
  }

  async killAgent(): Promise<void> {
    await this.#agent?.stop("SIGKILL");
  }

  /** An agent after one that was killed. Its configuration of the plugin is there already: {@link attachSoon} waits. */
  startSuccessor(): void {
    this.#successor = spawnAgent({ ...this.#cluster.agentSettings(NODE, this.#node), ...SETTINGS });
  }

  create(object: NewObject): void {
    this.#cluster.api.store.create(object);
  }

  delete(resource: string, name: string): void {
    this.#cluster.api.store.delete(resource, "default", name);
  }

  /** The pod in the API, and a namespace for it; it has no network yet. */
  declare(name: string, labels: Readonly<Record<string, string>>, ips: readonly Ip[]): string {
    const annotations = { "breakwater.dev/ip": ips.join(",") };
    const spec = { nodeName: NODE, containers: [{ name: "main", image: "none" }] };
    const metadata = { name, namespace: "default", labels, annotations };
    this.create({ apiVersion: "v1", kind: "Pod", metadata, spec });
    const netns = join(this.#cluster.netns, name);
    createNamespace(netns);
    return netns;
  }

  /** Calls the plugin for a pod that was declared. */
  async attach(name: string): Promise<StartedPod> {
    const { cniConfDir = "", cniBinDir = "" } = this.#agent ?? {};
    const runtime = new CniRuntime(cniConfDir, [cniBinDir]);
    const netns = join(this.#cluster.netns, name);
    const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${name}`;
    const call = { containerId: `window-${name}`, netns, ifname: "eth0", args, capabilities: {} };
    const { raw } = await runtime.add(call);
    const stop = async () => {
      await runtime.del(call, raw);
      this.forget(name);
    };
    return { name, netns, stop };
  }

  /** A declared pod goes, and its namespace. */
  forget(name: string): void {
    this.delete("pods", name);
    deleteNamespace(join(this.#cluster.netns, name));
  }

  /** The runtime calls again until the agent can serve it. */
  async attachSoon(name: string): Promise<StartedPod> {
    let pod: StartedPod | undefined;
    await eventually(PATIENCE_MS, async () => {
      pod = await this.attach(name);
    });
    if (pod === undefined) throw new TypeError("eventually() returned without a pod");
    return pod;
  }

  /** What nft prints of the node's tables of policies. */
  async policyTables(): Promise<string> {
    const child = this.#node.run(() => spawn("nft", ["list", "ruleset"], { stdio: ["ignore", "pipe", "inherit"] }));
    return (await child.stdout.toArray()).join("");
  }
}

function connect(node: LabHost, outside: LabHost): void {
  using far = openNamespace(outside.netns);
  const end = (host: LabHost) => ({ name: "eth0", mac: deriveMac(`window ${host.name}`), mtuBytes: 1500 });
  node.routes.createLink({ ...end(node), kind: { type: "veth", peer: { ...end(outside), namespaceFd: far.fd } } });
  for (const [host, ips] of [
    [node, NODE_IPS],
    [outside, OUTSIDE_IPS],
  ] as const) {
    const addresses = ips.map((address) => ({ address, length: address.includes(":") ? 64 : 24 }));
    configureLink(host, "eth0", addresses);
  }
  const oif = outside.routes.link("eth0")?.index ?? -1;
  for (const [i, destination] of POD_CIDRS.entries()) {
    outside.routes.setRoute({ destination, gateway: NODE_IPS[i] ?? "", oif, protocol: 4 });
  }
}

function addNode(cluster: BenchCluster): void {
  const { store } = cluster.api;
  const spec = { podCIDR: POD_CIDRS[0], podCIDRs: [...POD_CIDRS] };
  store.create({ apiVersion: "v1", kind: "Node", metadata: { name: NODE }, spec });
  const addresses = NODE_IPS.map((address) => ({ type: "InternalIP", address }));
  const conditions = [{ type: "Ready", status: "True", reason: "KubeletReady", message: "" }];
  const status = { addresses, conditions };
  store.modify("nodes", undefined, NODE, (draft) => Object.assign(draft, { status }), { subresource: "status" });
}

/** UDP datagrams and TCP SYNs at addresses, from a namespace, until it is told to end: test/bench/c/flood.c. */
export class Flood {
  readonly #child: ChildProcess;
  readonly #output: Promise<string>;

  constructor(netns: string, ips: readonly Ip[], packetsPerSecond: number) {
    const args = [`--net=${netns}`, tool("flood"), "--port", "80", "--rate", String(packetsPerSecond), ...ips];
    const child = spawn("nsenter", args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#output = child.stdout.toArray().then((chunks) => chunks.join(""));
    this.#child = child;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @returns how many packets were sent */
  async end(): Promise<number> {
    await ended(this.#child, "SIGTERM");
    return (JSON.parse(await this.#output) as { sent: number }).sent;
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}
