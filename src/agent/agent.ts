/**
 * The node agent put together: kernel, cluster source, CNI server, loop, health. It leaves the data path as it is when
 * it stops, however it stops; the next start lists, plans and changes only what differs.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type CniServer, JOURNAL_FILE, startCniServer } from "../cni/server.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { FindRunning, KubeProxyPart } from "../kernel/kube-proxy/types.ts";
import type { OpenProbePort } from "../kernel/probe-port.ts";
import type { PmtuCache } from "../kernel/rtnetlink/pmtu-cache.ts";
import { KubeClient } from "../kube/client.ts";
import { systemClock } from "../kube/clock.ts";
import { type ClusterSource, startClusterSource } from "../kube/cluster-source.ts";
import type { ApiConnection } from "../kube/connection.ts";
import { messageOf } from "../model/errors.ts";
import { SERVICE_TABLES } from "../model/marks.ts";
import type { NodeConfig } from "../model/node-config.ts";
import { type Bgp, startBgp } from "./bgp/bgp-start.ts";
import { CniPublisher } from "./cni-publisher.ts";
import { type HealthServer, startHealthServer } from "./health.ts";
import { type HostSurroundings, watchHost } from "./host/host-parts.ts";
import { IdleCollector } from "./idle-collector.ts";
import { createKubeProxyMetrics } from "./kube-proxy-metrics.ts";
import { KubeProxyTakeover } from "./kube-proxy-takeover.ts";
import { giveAddresses } from "./load-balancer/load-balancer-parts.ts";
import type { Log } from "./log.ts";
import { type AgentMetrics, createMetrics } from "./metrics.ts";
import { Mirror } from "./mirror.ts";
import { MtuParts } from "./mtu-parts.ts";
import { NodeNetwork } from "./node-network.ts";
import { createPodLinks } from "./pod-links.ts";
import { type PolicyKernel, PolicyParts } from "./policies/policy-parts.ts";
import { Reconciler } from "./reconciler.ts";
import { dropIpvs } from "./services/ipvs-removal.ts";
import { type ServiceKernel, ServiceParts } from "./services/service-parts.ts";

/** What proving paths needs of the kernel beyond {@link Kernel}. */
export interface ProofKernel {
  readonly openProbePort: OpenProbePort;
  /** What the kernel learned of paths from ICMP, in the namespace that the calling thread is in. */
  readonly pmtuCache: PmtuCache;
}

/** Where kube-proxy's state is looked for, and kube-proxy itself. */
export interface KubeProxyKernel {
  /** In the order in which they are to go. */
  readonly parts: readonly KubeProxyPart[];
  readonly findRunning: FindRunning;
}

export interface AgentOptions {
  readonly kernel: Kernel;
  readonly proofKernel: ProofKernel;
  readonly serviceKernel: ServiceKernel;
  /** Sockets of their own, too. */
  readonly policyKernel: PolicyKernel;
  readonly kubeProxyKernel: KubeProxyKernel;
  /** The machine, where its modules and tuning are this agent's. */
  readonly host?: HostSurroundings;
  readonly config: NodeConfig;
  readonly connection: ApiConnection;
  readonly stateDir: string;
  readonly cniSocket: string;
  readonly metricsAddress: string;
  readonly log: Log;
  /** Puts the CNI configuration on disk; called once the node can give pods their network, and when it is lost again. */
  readonly publishCni: () => Promise<void>;
  /** Whether it is on disk. */
  readonly cniIsPublished: () => boolean;
}

export interface Agent {
  stop(): Promise<void>;
}

/** The loop is ill when no round ended for this long although one was due. */
const STUCK_MS = 30_000;

export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { log, config, kernel } = options;
  const metrics = createMetrics();
  const mirror = new Mirror(kernel);
  const podLinks = createPodLinks(kernel, mirror);
  const collector = new IdleCollector();
  const client = new KubeClient(options.connection);
  let synced = false;
  const source = watchCluster(options, client, metrics, () => {
    collector.touch();
    if (synced) reconciler.request("cluster");
    policies?.follow();
  });
  const network: NodeNetwork = new NodeNetwork({
    kernel,
    mirror,
    podLinks,
    status: () => reconciler.status,
    admit: async (pod) => policies?.enforcer.admit(pod),
    withdraw: (pod) => policies?.enforcer.forget(pod),
    onDetach: (pod) => policies?.enforcer.forget(pod),
    onError: (error) => log.error({ error: messageOf(error) }, "cannot delete the links of removed pods"),
    ...(config.flowtable === true ? { onAttached: () => reconciler.request("pod") } : {}),
  });
  const policies =
    config.networkPolicy === true
      ? enforcePolicies(options, client, source, network, metrics, () => publisher.tryPublish())
      : undefined;
  const nodes = () => (synced ? source.view().nodes : undefined);
  const paths = new MtuParts({
    options,
    client,
    mirror,
    metrics,
    nodes,
    pods: () => network.pods(),
    state: () => reconciler.status.state,
    onProven: () => reconciler.request("proof"),
  });
  const services = serveServices(options, {
    client,
    mirror,
    metrics,
    nodes,
    onActivity: () => collector.touch(),
    onChange: () => bgp.followSoon(),
  });
  const bgp: Bgp = startBgp(options, {
    registry: metrics.registry,
    nodes,
    facts: () => mirror.facts(config),
    status: () => reconciler.status,
    onChange: () => reconciler.request("bgp"),
    client,
    onApiError: (resource) => metrics.apiErrors.inc({ resource }),
    ...(services === undefined ? {} : { services: () => services.view() }),
  });
  const balancer = giveAddresses(config, { client, metrics, log });
  const host = watchHost(options, metrics, () => reconciler);
  const takeover = watchKubeProxy(options, metrics, services);
  const reconciler: Reconciler = new Reconciler({
    kernel,
    mirror,
    config,
    nodes,
    provenMtuBytes: () => paths.proof.proven(),
    announced: () => bgp.announces,
    pods: () => network.pods(),
    strangers: () => network.strangers(),
    podLinks,
    log,
    metrics,
    onApplied: (results) => host?.applied(results),
    onRound: () => {
      paths.proof.follow(reconciler.status.state);
      services?.follow();
      bgp.follow();
      publisher.tryPublish();
    },
    onEvents: (seen) => paths.proof.notice(seen, mirror),
  });
  const publisher = new CniPublisher(
    options,
    () => network.notReadyReason() ?? bgp.notReadyReason() ?? policies?.enforcer.failure,
    network,
    () => reconciler.request("retry"),
  );
  const notOnDisk = () => (publisher.published ? undefined : "the CNI configuration is not on disk yet");
  const health = await startHealthServer(options.metricsAddress, metrics.registry, {
    unhealthy: () => stuckReason(reconciler, synced),
    notReady: () =>
      network.notReadyReason() ??
      bgp.notReadyReason() ??
      policies?.enforcer.failure ??
      services?.proxy.failure ??
      notOnDisk(),
    collect: () => {
      collect(metrics, reconciler, network, source);
      paths.proof.collect();
      services?.collect();
      policies?.collect();
      bgp.collect();
      balancer?.collect();
      for (const { code } of [...takeover.problems, ...(bgp.problems ?? [])]) metrics.problems.set({ code }, 1);
    },
    document: (url) =>
      paths.document(url) ??
      services?.document(url) ??
      policies?.document(url) ??
      bgp.document(url) ??
      host?.document(url),
  });
  const journalWasLost = !existsSync(join(options.stateDir, JOURNAL_FILE));
  const cni = await startCni(options, network, source, metrics, collector);
  network.adopt(cni.records());
  policies?.begin();
  if (journalWasLost) spareUnknownPods(options, network);
  log.info({ health: health?.address, socket: options.cniSocket, routing: config.routing }, "agent started");
  source.synced.then(
    () => {
      synced = true;
      reconciler.run();
    },
    () => undefined,
  );
  const following = publisher.follow();
  const stop = async () => {
    following[Symbol.dispose]();
    collector[Symbol.dispose]();
    takeover[Symbol.dispose]();
    host?.[Symbol.dispose]();
    await paths.stop();
    await services?.stop();
    await policies?.stop();
    await bgp.stop();
    await balancer?.stop();
    await stopAll(reconciler, source, client, cni, health, network);
  };
  return { stop };
}

/** Looks for kube-proxy behind the first Services that are served; where they are left to it, behind the start. */
function watchKubeProxy(
  { config, kubeProxyKernel, log }: AgentOptions,
  metrics: AgentMetrics,
  services: ServiceParts | undefined,
): KubeProxyTakeover {
  const takeover = new KubeProxyTakeover({
    nodeName: config.nodeName,
    mode: config.kubeProxy,
    parts: kubeProxyKernel.parts,
    findRunning: kubeProxyKernel.findRunning,
    servesAll: () => services !== undefined && services.proxy.failure === undefined,
    clock: systemClock,
    log,
    metrics: createKubeProxyMetrics(metrics.registry),
  });
  // Whoever chose another proxy without naming kube-proxy has something else in mind.
  if (services === undefined && config.kubeProxy === undefined) return takeover;
  const first = services === undefined ? Promise.resolve() : services.synced;
  first.then(
    () => takeover.check(),
    () => undefined,
  );
  return takeover;
}

function enforcePolicies(
  { config, policyKernel, log }: AgentOptions,
  client: KubeClient,
  cluster: ClusterSource,
  network: NodeNetwork,
  metrics: AgentMetrics,
  onEnforced: () => void,
): PolicyParts {
  const attached = () => network.pods();
  return new PolicyParts({ config, kernel: policyKernel, client, cluster, attached, metrics, log, onEnforced });
}

type ServiceSurroundings = Pick<
  ConstructorParameters<typeof ServiceParts>[0],
  "client" | "mirror" | "metrics" | "nodes" | "onActivity" | "onChange"
>;

/** Serves Services; where another proxy does, the tables that an earlier agent left are removed. */
function serveServices(options: AgentOptions, surroundings: ServiceSurroundings): ServiceParts | undefined {
  const { config, serviceKernel, log } = options;
  if (config.services !== undefined) {
    return new ServiceParts({ ...surroundings, config, services: config.services, kernel: serviceKernel, log });
  }
  dropIpvs(serviceKernel.ipvs, log);
  for (const table of Object.values(SERVICE_TABLES)) {
    if (serviceKernel.nftables.table(table) === undefined) continue;
    serviceKernel.nftables.commit(table, [{ do: "deleteTable" }]);
    log.info({ table: `${table.family} ${table.name}` }, "Services are left to another proxy; our table is removed");
  }
  return undefined;
}

/** Without its journal the agent knows no pod; those that run must not pay for that. */
function spareUnknownPods({ log, stateDir }: AgentOptions, network: NodeNetwork): void {
  const links = network.spareUnknownPods();
  if (links.length === 0) return;
  const message =
    "the journal of pod addresses is gone, but pods are attached: they are left alone until they are deleted";
  log.warn({ journal: join(stateDir, JOURNAL_FILE), links }, message);
}

function watchCluster(
  { config, log }: AgentOptions,
  client: KubeClient,
  metrics: AgentMetrics,
  onChange: () => void,
): ClusterSource {
  return startClusterSource({
    client,
    nodeName: config.nodeName,
    onChange,
    onProblem: ({ resource, key, field, why }) => log.warn({ resource, key, field }, why),
    onError: (resource, error, retryInMs) => {
      metrics.apiErrors.inc({ resource });
      log.warn({ resource, retryInMs, error: messageOf(error) }, "the API cannot be read; the last known state stands");
    },
  });
}

function startCni(
  { cniSocket, stateDir, log }: AgentOptions,
  network: NodeNetwork,
  source: ClusterSource,
  metrics: AgentMetrics,
  collector: IdleCollector,
): Promise<CniServer> {
  return startCniServer({
    socketPath: cniSocket,
    stateDir,
    network,
    pods: { find: (namespace, name) => source.findPod(namespace, name) },
    log,
    observe: ({ command, code, seconds }) => {
      collector.touch();
      metrics.cniSeconds.observe({ command, result: code === 0 ? "ok" : String(code) }, seconds);
    },
  });
}

function stuckReason(reconciler: Reconciler, synced: boolean): string | undefined {
  const { failures, error } = reconciler.status;
  if (!synced || (failures.length === 0 && error === undefined)) return undefined;
  const idleMs = performance.now() - reconciler.status.endedAt;
  return idleMs > 2 * STUCK_MS ? `the loop has not finished a round for ${Math.round(idleMs / 1000)} s` : undefined;
}

function collect(metrics: AgentMetrics, reconciler: Reconciler, network: NodeNetwork, source: ClusterSource): void {
  const { state } = reconciler.status;
  metrics.pods.set(network.pods().length);
  metrics.peers.reset();
  metrics.pathMtuBytes.reset();
  for (const mode of ["direct", "vxlan", "bgp", "none"] as const) metrics.peers.set({ mode }, 0);
  for (const path of state?.paths ?? []) {
    metrics.peers.inc({ mode: path.mode });
    metrics.pathMtuBytes.set({ peer: path.node, mode: path.mode }, path.mtuBytes);
  }
  if (state !== undefined) metrics.podMtuBytes.set(state.podMtuBytes);
  for (const { resource, lastContact } of source.state()) {
    // The reflector's clock is monotonic; the metric is a Unix time.
    const at = lastContact === undefined ? undefined : Date.now() - (performance.now() - lastContact);
    if (at !== undefined) metrics.apiContactSeconds.set({ resource }, at / 1000);
  }
}

async function stopAll(
  reconciler: Reconciler,
  source: ClusterSource,
  client: KubeClient,
  cni: CniServer,
  health: HealthServer | undefined,
  network: NodeNetwork,
): Promise<void> {
  await cni.close();
  await network.settled();
  reconciler[Symbol.dispose]();
  await source.stop();
  client.close();
  await health?.close();
}
