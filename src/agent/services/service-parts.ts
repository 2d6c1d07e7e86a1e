/** Everything about Services, put together: the watch of the API, the proxy, Events, documents for the command line. */
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { KubeClient } from "../../kube/client.ts";
import { systemClock } from "../../kube/clock.ts";
import { EventRecorder } from "../../kube/events.ts";
import { type ServiceSource, startServiceSource } from "../../kube/service-source.ts";
import type { ClusterNode } from "../../model/cluster.ts";
import { messageOf } from "../../model/errors.ts";
import type { NodeConfig, ServiceConfig } from "../../model/node-config.ts";
import type { VerificationReport } from "../../model/service-report.ts";
import type { ServiceContext } from "../../plan/services/frontends.ts";
import { serviceContext } from "../../plan/services/node-ports.ts";
import type { Log } from "../log.ts";
import type { AgentMetrics } from "../metrics.ts";
import type { Mirror } from "../mirror.ts";
import type { IpvsKernel } from "./ipvs-services.ts";
import { NodePortSockets } from "./node-port-sockets.ts";
import { collectServices, createServiceMetrics, type ServiceMetrics } from "./service-metrics.ts";
import { ServiceProxy } from "./service-proxy.ts";
import { serviceReport } from "./service-report.ts";
import { ServiceStatus } from "./service-status.ts";

/** What serving Services needs of the kernel beyond the agent's own. */
export interface ServiceKernel {
  /** A socket of its own: long transactions keep nobody else waiting for theirs. */
  readonly nftables: Nftables;
  readonly conntrack: Conntrack;
  /** Virtual servers, and the device with the addresses of Services. */
  readonly ipvs: IpvsKernel;
  /** `tcp 8080`: ports that processes of the node listen on, but for loopback. */
  readonly listening: () => ReadonlySet<string>;
}

export interface ServicePartsOptions {
  readonly config: NodeConfig;
  readonly services: ServiceConfig;
  readonly kernel: ServiceKernel;
  readonly client: KubeClient;
  readonly mirror: Mirror;
  readonly metrics: AgentMetrics;
  readonly log: Log;
  /** All nodes of the cluster, or undefined before the first list. */
  readonly nodes: () => ReadonlyMap<string, ClusterNode> | undefined;
  readonly onActivity: () => void;
  /** Services or endpoints changed, or are known now. */
  readonly onChange?: () => void;
}

export class ServiceParts {
  readonly proxy: ServiceProxy;
  readonly #options: ServicePartsOptions;
  readonly #source: ServiceSource;
  readonly #events: EventRecorder;
  readonly #metrics: ServiceMetrics;
  readonly #status: ServiceStatus;
  readonly #sockets: NodePortSockets;
  #synced = false;

  constructor(options: ServicePartsOptions) {
    this.#options = options;
    this.#metrics = createServiceMetrics(options.metrics.registry);
    const { client, config, kernel, log, metrics, services } = options;
    this.#events = new EventRecorder({
      client,
      component: "breakwater-agent",
      host: config.nodeName,
      onDropped: (reason, { kind, name }, why) =>
        log.warn({ reason, object: `${kind} ${name}`, why }, "event not written"),
    });
    this.#source = startServiceSource({
      client,
      onChange: () => {
        options.onActivity();
        if (!this.#synced) return;
        this.proxy.request();
        options.onChange?.();
      },
      onProblem: ({ resource, key, field, why }) => log.warn({ resource, key, field }, why),
      onError: (resource, error, retryInMs) => {
        metrics.apiErrors.inc({ resource });
        log.warn(
          { resource, retryInMs, error: messageOf(error) },
          "the API cannot be read; the last known state stands",
        );
      },
    });
    this.proxy = new ServiceProxy({
      nftables: kernel.nftables,
      conntrack: kernel.conntrack,
      ipvs: kernel.ipvs,
      source: this.#source,
      config: services,
      log,
      metrics: this.#metrics,
      clock: systemClock,
      onCommit: (keys) => {
        this.#status.touch(keys);
        this.#sockets.look(Array.from(keys, (key) => [key, this.proxy.ledger.plan(key)]));
      },
    });
    const { listening } = kernel;
    this.#sockets = new NodePortSockets({ nodeName: config.nodeName, log, events: this.#events, listening });
    this.#status = new ServiceStatus({
      client,
      clock: systemClock,
      log,
      events: this.#events,
      service: (key) => this.#source.services().get(key),
      problems: (key) => this.proxy.problems(key),
    });
    this.#source.synced.then(
      () => {
        this.#synced = true;
        this.follow();
        options.onChange?.();
      },
      () => undefined,
    );
  }

  /** The node may have other addresses or labels. */
  follow(): void {
    if (this.#synced) this.proxy.setNode(this.#context());
  }

  /** Services and their endpoints as they are known; undefined until they were listed once. */
  view(): Pick<ServiceSource, "services" | "slicesOf"> | undefined {
    return this.#synced ? this.#source : undefined;
  }

  /** Resolves when Services and EndpointSlices were listed once. */
  get synced(): Promise<void> {
    return this.#source.synced;
  }

  /** Called when metrics are read. */
  collect(): void {
    collectServices(this.#metrics, this.proxy.ledger);
  }

  state() {
    return this.#source.state();
  }

  async stop(): Promise<void> {
    this.proxy[Symbol.dispose]();
    this.#status[Symbol.dispose]();
    await this.#source.stop();
    await this.#events.stop();
  }

  /** What the health server answers under /services; undefined for other paths. */
  document({ pathname }: URL): unknown {
    const { config, kernel, services } = this.#options;
    if (pathname === "/services/verify") return this.#verify();
    if (pathname === "/services")
      return serviceReport(config.nodeName, this.proxy, this.#source, kernel.nftables, services);
    return undefined;
  }

  async #verify(): Promise<VerificationReport> {
    const node = this.#options.config.nodeName;
    const { failure } = this.proxy;
    if (failure === undefined) return { node, failure: null, ...(await this.proxy.verify()) };
    return { node, failure, services: 0, frontends: 0, elements: 0, differences: [] };
  }

  #context(): ServiceContext | undefined {
    const { config, services, mirror, nodes } = this.#options;
    const own = nodes()?.get(config.nodeName);
    if (own === undefined) return undefined;
    return serviceContext(own, mirror.nodeAddresses(), services, nodes()?.values());
  }
}
