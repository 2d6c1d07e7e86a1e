/** Everything about proving paths, put together: proof, what kernels remember, Events, published reports, documents. */
import type { KubeClient } from "../kube/client.ts";
import { systemClock } from "../kube/clock.ts";
import { EventRecorder } from "../kube/events.ts";
import type { ClusterNode } from "../model/cluster.ts";
import type { LocalPod } from "../model/state.ts";
import type { AgentOptions } from "./agent-options.ts";
import { LearnedMtus } from "./learned-mtus.ts";
import type { AgentMetrics } from "./metrics.ts";
import type { Mirror } from "./mirror.ts";
import { MtuProof } from "./mtu-proof.ts";
import { MtuPublisher } from "./mtu-publisher.ts";
import { readCounters, reportPodMtu } from "./pod-mtu.ts";

export interface MtuPartsOptions {
  readonly options: Pick<AgentOptions, "config" | "kernel" | "log" | "proofKernel">;
  readonly client: KubeClient;
  readonly mirror: Mirror;
  readonly metrics: AgentMetrics;
  /** All nodes of the cluster, or undefined before the first list. */
  readonly nodes: () => ReadonlyMap<string, ClusterNode> | undefined;
  readonly pods: () => readonly LocalPod[];
  /** What the plan in force gives every pod; undefined before the first plan. */
  readonly podMtuBytes: () => number | undefined;
  readonly onProven: () => void;
}

export class MtuParts {
  readonly proof: MtuProof;
  readonly #parts: MtuPartsOptions;
  readonly #events: EventRecorder;
  readonly #learned: LearnedMtus;
  readonly #reports: MtuPublisher;

  constructor(parts: MtuPartsOptions) {
    this.#parts = parts;
    const { client, mirror, metrics, nodes, pods, onProven } = parts;
    const { config, kernel, log, proofKernel } = parts.options;
    const { pmtuCache, openProbePort } = proofKernel;
    const { nodeName } = config;
    this.#events = new EventRecorder({
      client,
      component: "breakwater-agent",
      host: nodeName,
      onDropped: (reason, { kind, name }, why) =>
        log.warn({ reason, object: `${kind} ${name}`, why }, "event not written"),
    });
    this.#learned = new LearnedMtus({ kernel, pmtuCache, pods, clock: systemClock, log });
    this.proof = new MtuProof({
      ...{ openProbePort, config, nodes, log, metrics, onProven },
      learned: this.#learned,
      events: this.#events,
      routeMtu: (destination) => mirror.routeTo(destination)?.mtuBytes,
      onReport: () => this.#reports.touch(),
    });
    const report = () => this.proof.report();
    this.#reports = new MtuPublisher({ client, clock: systemClock, nodeName, report, log });
  }

  async stop(): Promise<void> {
    this.proof[Symbol.dispose]();
    this.#reports[Symbol.dispose]();
    this.#learned[Symbol.dispose]();
    await this.#events.stop();
  }

  /** What the health server answers under /mtu; undefined for other paths. */
  document({ pathname, searchParams }: URL): unknown {
    if (pathname === "/mtu") return this.proof.report();
    const { options, mirror, podMtuBytes } = this.#parts;
    const { kernel, proofKernel } = options;
    const [pods, plannedBytes] = [this.#parts.pods(), podMtuBytes()];
    if (plannedBytes === undefined) return undefined;
    if (pathname === "/mtu/counters") return readCounters(kernel, pods);
    if (pathname !== "/mtu/pod") return undefined;
    const name = searchParams.get("name") ?? "";
    return reportPodMtu({ kernel, mirror, pmtuCache: proofKernel.pmtuCache }, pods, { name, plannedBytes });
  }
}
