/**
 * Metrics of Services: under kube-proxy's own names where it has them (pkg/proxy/metrics/metrics.go), so that dashboards
 * made for it go on working, and ours.
 */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { ServiceLedger } from "../../plan/services/ledger.ts";

export interface ServiceMetrics {
  readonly syncSeconds: Histogram;
  readonly fullSyncSeconds: Histogram;
  readonly partialSyncSeconds: Histogram;
  readonly networkProgrammingSeconds: Histogram;
  readonly lastQueued: Gauge;
  readonly lastSync: Gauge;
  readonly endpointChanges: Counter;
  readonly serviceChanges: Counter;
  readonly syncFailures: Counter;
  readonly noLocalEndpoints: Gauge<"traffic_policy">;
  readonly conntrackSeconds: Histogram<"ip_family">;
  readonly conntrackDeleted: Counter<"ip_family">;
  readonly services: Gauge;
  readonly frontends: Gauge;
  readonly endpoints: Gauge;
  readonly elements: Counter;
  readonly eventToKernelSeconds: Histogram;
  readonly differences: Counter;
  readonly verifications: Counter<"result">;
  readonly conflicts: Gauge;
}

/** 1 ms doubling 15 times, as kube-proxy has it. */
const SYNC_BUCKETS = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);
/** kube-proxy's: 0.25 to 0.5, 1 to 59 by one, 60 to 115 by five, 120 to 300 by thirty. */
const PROGRAMMING_BUCKETS = [
  0.25,
  0.5,
  ...Array.from({ length: 59 }, (_, i) => 1 + i),
  ...Array.from({ length: 12 }, (_, i) => 60 + 5 * i),
  ...Array.from({ length: 7 }, (_, i) => 120 + 30 * i),
];

export function createServiceMetrics(registry: Registry): ServiceMetrics {
  const registers = [registry];
  const histogram = (name: string, help: string, buckets: number[] = SYNC_BUCKETS) =>
    new Histogram({ name, help, buckets, registers });
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  return {
    ...kubeProxyMetrics(registry),
    services: gauge("breakwater_services", "Services that this node serves"),
    frontends: gauge("breakwater_service_frontends", "Addresses, protocols and ports on which Services answer here"),
    endpoints: gauge("breakwater_service_endpoints", "Endpoints behind those, one for each frontend it serves"),
    elements: counter("breakwater_service_elements_total", "Elements of nftables maps and sets that were changed"),
    eventToKernelSeconds: histogram(
      "breakwater_service_event_to_kernel_seconds",
      "Time from a watch event to the kernel",
      [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
    ),
    differences: counter(
      "breakwater_service_differences_total",
      "Elements in which the kernel was found to differ from the API, and was repaired",
    ),
    verifications: new Counter({
      name: "breakwater_service_verifications_total",
      help: "Comparisons of the kernel's tables with the API, by result (equal, different, failed)",
      labelNames: ["result"],
      registers,
    }),
    conflicts: gauge("breakwater_service_conflicts", "Frontends that a Service goes without: an older one has them"),
  };
}

function kubeProxyMetrics(registry: Registry) {
  const registers = [registry];
  const histogram = (name: string, help: string, buckets: number[] = SYNC_BUCKETS) =>
    new Histogram({ name: `kubeproxy_${name}`, help, buckets, registers });
  const gauge = (name: string, help: string) => new Gauge({ name: `kubeproxy_${name}`, help, registers });
  const counter = (name: string, help: string) => new Counter({ name: `kubeproxy_${name}`, help, registers });
  return {
    syncSeconds: histogram("sync_proxy_rules_duration_seconds", "Time to bring the rules of Services up to date"),
    fullSyncSeconds: histogram("sync_full_proxy_rules_duration_seconds", "The same where all Services were looked at"),
    partialSyncSeconds: histogram(
      "sync_partial_proxy_rules_duration_seconds",
      "The same where only Services that changed were looked at",
    ),
    networkProgrammingSeconds: histogram(
      "network_programming_duration_seconds",
      "Time from the change of a Pod or Service to its rules (annotation endpoints.kubernetes.io/last-change-trigger-time)",
      PROGRAMMING_BUCKETS,
    ),
    lastQueued: gauge(
      "sync_proxy_rules_last_queued_timestamp_seconds",
      "When a change of the rules was last asked for",
    ),
    lastSync: gauge("sync_proxy_rules_last_timestamp_seconds", "When the rules were last brought up to date"),
    endpointChanges: counter("sync_proxy_rules_endpoint_changes_total", "Changes of the endpoints of Services"),
    serviceChanges: counter("sync_proxy_rules_service_changes_total", "Changes of Services"),
    syncFailures: counter("sync_proxy_rules_nftables_sync_failures_total", "Transactions that the kernel refused"),
    noLocalEndpoints: new Gauge({
      name: "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
      help: "Service ports whose traffic policy Local finds no endpoint here, by policy (internal, external)",
      labelNames: ["traffic_policy"],
      registers,
    }),
    conntrackSeconds: new Histogram({
      name: "kubeproxy_conntrack_reconciler_sync_duration_seconds",
      help: "Time to find and delete tracked flows that lead nowhere",
      labelNames: ["ip_family"],
      buckets: SYNC_BUCKETS,
      registers,
    }),
    conntrackDeleted: new Counter({
      name: "kubeproxy_conntrack_reconciler_deleted_entries_total",
      help: "Tracked flows that led nowhere and were deleted",
      labelNames: ["ip_family"],
      registers,
    }),
  };
}

/** Brings the gauges that follow from the plans up to date; called when metrics are read. */
export function collectServices(metrics: ServiceMetrics, ledger: ServiceLedger): void {
  let [frontends, endpoints, internal, external] = [0, 0, 0, 0];
  for (const key of ledger.frontends()) {
    const frontend = ledger.frontend(key);
    if (frontend === undefined) continue;
    frontends++;
    endpoints += frontend.endpoints.length;
    if (frontend.outside?.length === 0) external++;
    if (frontend.kind === "ClusterIP" && frontend.endpoints.length === 0 && frontend.otherwise === "drop") internal++;
  }
  let services = 0;
  for (const plan of ledger.plans()) if (plan.frontends.length > 0) services++;
  metrics.services.set(services);
  metrics.frontends.set(frontends);
  metrics.endpoints.set(endpoints);
  metrics.noLocalEndpoints.set({ traffic_policy: "internal" }, internal);
  metrics.noLocalEndpoints.set({ traffic_policy: "external" }, external);
}
