/** The agent's parts, each put together from its options and what surrounds it. */
import { join } from "node:path";
import { type CniServer, JOURNAL_FILE, startCniServer } from "../cni/server.ts";
import type { KubeClient } from "../kube/client.ts";
import { systemClock } from "../kube/clock.ts";
import { type ClusterSource, type ClusterSourceOptions, startClusterSource } from "../kube/cluster-source.ts";
import { messageOf } from "../model/errors.ts";
import { SERVICE_TABLES } from "../model/marks.ts";
import type { AgentOptions } from "./agent-options.ts";
import type { IdleCollector } from "./idle-collector.ts";
import { createKubeProxyMetrics } from "./kube-proxy-metrics.ts";
import { KubeProxyTakeover } from "./kube-proxy-takeover.ts";
import type { AgentMetrics } from "./metrics.ts";
import type { NodeNetwork } from "./node-network.ts";
import { PolicyParts } from "./policies/policy-parts.ts";
import type { Reconciler } from "./reconciler.ts";
import { dropIpvs } from "./services/ipvs-removal.ts";
import { ServiceParts } from "./services/service-parts.ts";

/** The loop is ill when no round ended for this long although one was due. */
const STUCK_MS = 30_000;

/** Looks for kube-proxy behind the first Services that are served; where they are left to it, behind the start. */
export function watchKubeProxy(
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

export function enforcePolicies(
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
export function serveServices(options: AgentOptions, surroundings: ServiceSurroundings): ServiceParts | undefined {
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
export function spareUnknownPods({ log, stateDir }: AgentOptions, network: NodeNetwork): void {
  const links = network.spareUnknownPods();
  if (links.length === 0) return;
  const message =
    "the journal of pod addresses is gone, but pods are attached: they are left alone until they are deleted";
  log.warn({ journal: join(stateDir, JOURNAL_FILE), links }, message);
}

export function watchCluster(
  { config, log }: AgentOptions,
  client: KubeClient,
  metrics: AgentMetrics,
  onChange: ClusterSourceOptions["onChange"],
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

export function startCni(
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

export function stuckReason(reconciler: Reconciler, synced: boolean): string | undefined {
  const { failures, error } = reconciler.status;
  if (!synced || (failures.length === 0 && error === undefined)) return undefined;
  const idleMs = performance.now() - reconciler.status.endedAt;
  return idleMs > 2 * STUCK_MS ? `the loop has not finished a round for ${Math.round(idleMs / 1000)} s` : undefined;
}

export function collect(
  metrics: AgentMetrics,
  reconciler: Reconciler,
  network: NodeNetwork,
  source: ClusterSource,
): void {
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
