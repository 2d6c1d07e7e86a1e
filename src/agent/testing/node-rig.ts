/**
 * A node's loop over the kernel in memory, on a clock that tests turn by hand: the same mirror, reconciler and pod network
 * as the agent has, and somebody else who breaks things.
 */
import type { MockTimers } from "node:test";
import type { PodAttachment } from "../../cni/pod-network.ts";
import { FakeHost, type OtherHand } from "../../kernel/fake/host.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { ClusterNode } from "../../model/cluster.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import type { Log } from "../log.ts";
import { createMetrics } from "../metrics.ts";
import { Mirror } from "../mirror.ts";
import { NodeNetwork } from "../node-network.ts";
import { createPodLinks } from "../pod-links.ts";
import { Reconciler } from "../reconciler.ts";
import { describeHost } from "./host-text.ts";

export const NODE = "/run/netns/node1";

export const defaultConfig: NodeConfig = {
  nodeName: "node1",
  routing: "auto",
  vni: 4098,
  vxlanPort: 4789,
  masquerade: true,
  masqueradeExceptions: [],
};

/** node1 is the rig's own; nodes of an even number are beside it, odd ones behind a router. */
export function clusterNode(number: number, change: Partial<ClusterNode> = {}): ClusterNode {
  const subnet = number === 1 || number % 2 === 0 ? 1 : 2;
  return {
    name: `node${number}`,
    internalIps: [`192.168.${subnet}.${number}`, `fd00:${subnet}::${number}`],
    podCidrs: [`10.244.${number}.0/24`, `fd00:10:244:${number}::/64`],
    labels: {},
    ...change,
  };
}

export function attachment(number: number): PodAttachment {
  return {
    containerId: `container${number}`,
    ifname: "eth0",
    netns: `/run/netns/pod${number}`,
    ips: [`10.244.1.${number + 1}`, `fd00:10:244:1::${number + 1}`],
    pod: { namespace: "default", name: `pod${number}` },
  };
}

// One registry for all rigs: the process's own metrics can be collected once.
const metrics = createMetrics();

/** The loop's own pause between rounds, and one turn of the rig's clock. */
const TURN_MS = 25;

export class NodeRig implements Disposable {
  readonly host = new FakeHost();
  readonly other: OtherHand;
  readonly nodes = new Map<string, ClusterNode>();
  readonly attached = new Map<string, PodAttachment>();
  readonly problems: string[] = [];
  readonly #timers: MockTimers;
  rounds = 0;
  config: NodeConfig = defaultConfig;
  kernel!: Kernel;
  mirror!: Mirror;
  network!: NodeNetwork;
  reconciler!: Reconciler;

  /** @param timers of the test, which ends them */
  constructor(timers: MockTimers) {
    this.#timers = timers;
    timers.enable({ apis: ["setTimeout", "setInterval"] });
    this.other = this.host.addNamespace(NODE);
    this.other.addHardware({
      name: "eth0",
      mac: "02:00:00:00:00:01",
      addresses: ["192.168.1.1/24", "fd00:1::1/64"],
    });
    for (const number of [1, 2, 3]) this.setNode(clusterNode(number));
  }

  [Symbol.dispose](): void {
    this.reconciler?.[Symbol.dispose]();
  }

  setNode(node: ClusterNode): void {
    this.nodes.set(node.name, node);
  }

  /** Starts the loop, or a new one in the place of one that was killed, and lets it come to rest. */
  async start(): Promise<void> {
    this[Symbol.dispose]();
    this.kernel = this.host.kernel(NODE);
    this.mirror = new Mirror(this.kernel);
    const podLinks = createPodLinks(this.kernel, this.mirror);
    this.network = new NodeNetwork({
      kernel: this.kernel,
      mirror: this.mirror,
      podLinks,
      status: () => this.reconciler.status,
      onError: (error) => this.problems.push(String(error)),
      onAttached: () => {
        if (this.config.flowtable === true) this.reconciler.request("pod");
      },
    });
    this.reconciler = new Reconciler({
      kernel: this.kernel,
      mirror: this.mirror,
      config: this.config,
      nodes: () => this.nodes,
      pods: () => this.network.pods(),
      podLinks,
      log: this.#log(),
      metrics,
      onRound: () => this.rounds++,
    });
    this.network.adopt([...this.attached.values()]);
    this.reconciler.run();
    await this.settle();
  }

  /** Attaches a pod as the CNI server does; its namespace is made where there is none. */
  async attach(number: number): Promise<void> {
    const value = attachment(number);
    if (!this.kernel.namespaceExists(value.netns)) this.host.addNamespace(value.netns);
    await this.network.attach(value);
    this.attached.set(value.containerId, value);
  }

  async detach(number: number): Promise<void> {
    const value = attachment(number);
    this.attached.delete(value.containerId);
    await this.network.detach(value);
  }

  /** Lets events arrive and rounds run until nothing happens any more. @returns milliseconds that went by */
  async settle(): Promise<number> {
    let elapsedMs = 0;
    for (let quiet = 0; quiet < 2; ) {
      const before = this.rounds;
      await this.host.settled();
      this.#timers.tick(TURN_MS);
      elapsedMs += TURN_MS;
      quiet = this.rounds === before ? quiet + 1 : 0;
    }
    await this.host.settled();
    return elapsedMs;
  }

  /** Lets this much time go by, in small steps. */
  async elapse(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += TURN_MS) {
      await this.host.settled();
      this.#timers.tick(TURN_MS);
    }
    await this.host.settled();
  }

  /** Everything that this machine's kernel holds, ours or not, as text. */
  text(): string {
    const pods = [...this.attached.values()].map(({ netns }) => netns);
    return describeHost(this.host, NODE, pods.sort());
  }

  /** What the program asked the kernel for since the last time. */
  operations(): string[] {
    return this.host.log.takeLines();
  }

  /** Index of a link of the node. */
  index(name: string): number {
    const link = this.other.routes.link(name);
    if (link === undefined) throw new RangeError(`There is no link ${name}`);
    return link.index;
  }

  #log(): Log {
    const problem = (_fields: object, message: string) => void this.problems.push(message);
    return { debug: () => undefined, info: () => undefined, warn: problem, error: problem };
  }
}
