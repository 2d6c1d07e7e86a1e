/**
 * The node agent put together: kernel, cluster source, CNI server, loop, health. It leaves the data path as it is when
 * it stops, however it stops; the next start lists, plans and changes only what differs.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type CniServer, JOURNAL_FILE } from "../cni/server.ts";
import { KubeClient } from "../kube/client.ts";
import type { ClusterKind, ClusterSource } from "../kube/cluster-source.ts";
import type { ClusterNode } from "../model/cluster.ts";
import { messageOf } from "../model/errors.ts";
import type { AgentOptions } from "./agent-options.ts";
import {
  collect,
  enforcePolicies,
  serveServices,
  spareUnknownPods,
  startCni,
  stuckReason,
  watchCluster,
  watchKubeProxy,
} from "./agent-parts.ts";
import { type Bgp, startBgp } from "./bgp/bgp-start.ts";
import { CniPublisher } from "./cni-publisher.ts";
import { type HealthServer, startHealthServer } from "./health.ts";
import { watchHost } from "./host/host-parts.ts";
import { IdleCollector } from "./idle-collector.ts";
import type { KubeProxyTakeover } from "./kube-proxy-takeover.ts";
import { giveAddresses } from "./load-balancer/load-balancer-parts.ts";
import { countProblems, createMetrics } from "./metrics.ts";
import { Mirror } from "./mirror.ts";
import { MtuParts } from "./mtu-parts.ts";
import { NodeNetwork } from "./node-network.ts";
import { createPodLinks } from "./pod-links.ts";
import type { PolicyParts } from "./policies/policy-parts.ts";
import { Reconciler } from "./reconciler.ts";
import type { ServiceParts } from "./services/service-parts.ts";

export interface Agent {
  stop(): Promise<void>;
}

export async function startAgent(options: AgentOptions): Promise<Agent> {
  const agent = new NodeAgent(options);
  await agent.start();
  return agent;
}

type PodLinks = ReturnType<typeof createPodLinks>;

/** Its parts call each other back: each is there before the first event can come, in a later turn of the loop. */
class NodeAgent implements Agent {
  readonly #options: AgentOptions;
  readonly #metrics = createMetrics();
  readonly #collector = new IdleCollector();
  readonly #mirror: Mirror;
  readonly #client: KubeClient;
  readonly #source: ClusterSource;
  readonly #network: NodeNetwork;
  readonly #policies: PolicyParts | undefined;
  readonly #paths: MtuParts;
  readonly #services: ServiceParts | undefined;
  readonly #bgp: Bgp;
  readonly #balancer: ReturnType<typeof giveAddresses>;
  readonly #host: ReturnType<typeof watchHost>;
  readonly #takeover: KubeProxyTakeover;
  readonly #reconciler: Reconciler;
  readonly #publisher: CniPublisher;
  #following: Disposable | undefined;
  #health: HealthServer | undefined;
  #cni: CniServer | undefined;
  /** Nodes, pods and namespaces have been listed. */
  #synced = false;

  constructor(options: AgentOptions) {
    const { kernel, config, connection, log } = options;
    this.#options = options;
    this.#mirror = new Mirror(kernel);
    const podLinks = createPodLinks(kernel, this.#mirror);
    this.#client = new KubeClient(connection);
    this.#source = watchCluster(options, this.#client, this.#metrics, (kinds) => this.#follow(kinds));
    this.#network = this.#createNetwork(podLinks);
    this.#policies =
      config.networkPolicy === true
        ? enforcePolicies(options, this.#client, this.#source, this.#network, this.#metrics, () =>
            this.#publisher.tryPublish(),
          )
        : undefined;
    this.#paths = this.#provePaths();
    this.#services = this.#serve();
    this.#bgp = this.#startBgp();
    this.#balancer = giveAddresses(config, { client: this.#client, metrics: this.#metrics, log });
    this.#host = watchHost(options, this.#metrics, () => this.#reconciler);
    this.#takeover = watchKubeProxy(options, this.#metrics, this.#services);
    this.#reconciler = this.#createReconciler(podLinks);
    this.#publisher = new CniPublisher(
      options,
      () => this.#noNetworkReason(),
      this.#network,
      () => this.#reconciler.request("retry"),
    );
  }

  async start(): Promise<void> {
    const { cniSocket, config, log, stateDir } = this.#options;
    this.#health = await this.#startHealth();
    const journalWasLost = !existsSync(join(stateDir, JOURNAL_FILE));
    this.#cni = await startCni(this.#options, this.#network, this.#source, this.#metrics, this.#collector);
    this.#network.adopt(this.#cni.records());
    this.#policies?.begin();
    if (journalWasLost) spareUnknownPods(this.#options, this.#network);
    log.info({ health: this.#health?.address, socket: cniSocket, routing: config.routing }, "agent started");
    this.#source.synced.then(
      () => {
        this.#synced = true;
        this.#reconciler.run();
      },
      () => undefined,
    );
    this.#following = this.#publisher.follow();
  }

  async stop(): Promise<void> {
    this.#following?.[Symbol.dispose]();
    this.#collector[Symbol.dispose]();
    this.#takeover[Symbol.dispose]();
    this.#host?.[Symbol.dispose]();
    await this.#paths.stop();
    await this.#services?.stop();
    await this.#policies?.stop();
    await this.#bgp.stop();
    await this.#balancer?.stop();
    await this.#cni?.close();
    await this.#network.settled();
    this.#reconciler[Symbol.dispose]();
    await this.#source.stop();
    this.#client.close();
    await this.#health?.close();
  }

  /** The API says something new. Of pods and namespaces nothing is planned but policies: a pod's network is the runtime's wish. */
  #follow(kinds: ReadonlySet<ClusterKind>): void {
    this.#collector.touch();
    this.#policies?.followCluster(kinds);
    if (this.#synced && kinds.has("nodes")) this.#reconciler.request("cluster");
  }

  #nodes(): ReadonlyMap<string, ClusterNode> | undefined {
    return this.#synced ? this.#source.view().nodes : undefined;
  }

  #createNetwork(podLinks: PodLinks): NodeNetwork {
    const { kernel, config, log } = this.#options;
    return new NodeNetwork({
      kernel,
      mirror: this.#mirror,
      podLinks,
      status: () => this.#reconciler.status,
      admit: async (pod) => this.#policies?.enforcer.admit(pod),
      withdraw: (pod) => this.#policies?.enforcer.forget(pod),
      onDetach: (pod) => this.#policies?.enforcer.forget(pod),
      onError: (error) => log.error({ error: messageOf(error) }, "cannot delete the links of removed pods"),
      ...(config.flowtable === true ? { onAttached: () => this.#reconciler.request("pod") } : {}),
    });
  }

  #provePaths(): MtuParts {
    return new MtuParts({
      options: this.#options,
      client: this.#client,
      mirror: this.#mirror,
      metrics: this.#metrics,
      nodes: () => this.#nodes(),
      pods: () => this.#network.pods(),
      podMtuBytes: () => this.#reconciler.status.state?.podMtuBytes,
      onProven: () => this.#reconciler.request("proof"),
    });
  }

  #serve(): ServiceParts | undefined {
    return serveServices(this.#options, {
      client: this.#client,
      mirror: this.#mirror,
      metrics: this.#metrics,
      nodes: () => this.#nodes(),
      onActivity: () => this.#collector.touch(),
      onChange: () => this.#bgp.followSoon(),
    });
  }

  #startBgp(): Bgp {
    const [services, metrics] = [this.#services, this.#metrics];
    return startBgp(this.#options, {
      registry: metrics.registry,
      nodes: () => this.#nodes(),
      facts: () => this.#mirror.facts(this.#options.config),
      status: () => this.#reconciler.status,
      onChange: () => this.#reconciler.request("bgp"),
      client: this.#client,
      onApiError: (resource) => metrics.apiErrors.inc({ resource }),
      ...(services === undefined ? {} : { services: () => services.view() }),
    });
  }

  #createReconciler(podLinks: PodLinks): Reconciler {
    const { kernel, config, log } = this.#options;
    return new Reconciler({
      kernel,
      mirror: this.#mirror,
      config,
      nodes: () => this.#nodes(),
      provenMtuBytes: () => this.#paths.proof.proven(),
      announced: () => this.#bgp.announces,
      pods: () => this.#network.pods(),
      strangers: () => this.#network.strangers(),
      podLinks,
      log,
      metrics: this.#metrics,
      onApplied: (results) => this.#host?.applied(results),
      onRound: () => {
        this.#paths.proof.follow(this.#reconciler.status.state);
        this.#services?.follow();
        this.#bgp.follow();
        this.#publisher.tryPublish();
      },
      onEvents: (seen) => this.#paths.proof.notice(seen, this.#mirror),
    });
  }

  /** Why pods cannot be given a network. */
  #noNetworkReason(): string | undefined {
    return this.#network.notReadyReason() ?? this.#bgp.notReadyReason() ?? this.#policies?.enforcer.failure;
  }

  #startHealth(): Promise<HealthServer | undefined> {
    const notOnDisk = () => (this.#publisher.published ? undefined : "the CNI configuration is not on disk yet");
    return startHealthServer(this.#options.metricsAddress, this.#metrics.registry, {
      unhealthy: () => stuckReason(this.#reconciler, this.#synced),
      notReady: () => this.#noNetworkReason() ?? this.#services?.proxy.failure ?? notOnDisk(),
      collect: () => this.#collect(),
      document: (url) =>
        this.#paths.document(url) ??
        this.#services?.document(url) ??
        this.#policies?.document(url) ??
        this.#bgp.document(url) ??
        this.#host?.document(url),
    });
  }

  #collect(): void {
    const beside = [...this.#takeover.problems, ...(this.#bgp.problems ?? [])];
    countProblems(this.#metrics, [...this.#reconciler.problemCodes, ...beside.map(({ code }) => code)]);
    collect(this.#metrics, this.#reconciler, this.#network, this.#source);
    this.#paths.proof.collect();
    this.#services?.collect();
    this.#policies?.collect();
    this.#bgp.collect();
    this.#balancer?.collect();
  }
}
