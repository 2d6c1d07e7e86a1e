/** The agent's metrics. Names and meanings are listed in docs/reference/metrics.md. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export interface AgentMetrics {
  readonly registry: Registry;
  readonly reconcileSeconds: Histogram;
  readonly planSeconds: Histogram;
  readonly applySeconds: Histogram;
  readonly operations: Counter<"operation" | "result">;
  readonly repairs: Counter<"operation">;
  readonly problems: Gauge<"code">;
  readonly pods: Gauge;
  readonly peers: Gauge<"mode">;
  readonly podMtuBytes: Gauge;
  readonly pathMtuBytes: Gauge<"peer" | "mode">;
  readonly pathProvenBytes: Gauge<"peer" | "mode">;
  readonly pathVerdict: Gauge<"peer" | "verdict">;
  readonly probePackets: Gauge<"kind">;
  readonly cniSeconds: Histogram<"command" | "result">;
  readonly apiContactSeconds: Gauge<"resource">;
  readonly apiErrors: Counter<"resource">;
}

/**
 * The loop's lag is measured by waking up: every 10 ms, prom-client's default, is half a percent of a core for nothing, and
 * every 100 ms was a quarter of all that an idle agent woke up for. A shorter lag is seen as often as it is met.
 */
const LOOP_PRECISION_MS = 500;

const ROUND_BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

export function createMetrics(): AgentMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_PRECISION_MS });
  return {
    registry,
    reconcileSeconds: new Histogram({
      name: "breakwater_reconcile_duration_seconds",
      help: "Time to plan, compare and apply once",
      buckets: ROUND_BUCKETS,
      registers,
    }),
    planSeconds: new Histogram({
      name: "breakwater_plan_duration_seconds",
      help: "Time of a round to plan and compare",
      buckets: ROUND_BUCKETS,
      registers,
    }),
    applySeconds: new Histogram({
      name: "breakwater_apply_duration_seconds",
      help: "Time of a round that changes something to apply it to the kernel",
      buckets: ROUND_BUCKETS,
      registers,
    }),
    operations: new Counter({
      name: "breakwater_operations_total",
      help: "Changes made to the kernel, by kind and result (done, failed)",
      labelNames: ["operation", "result"],
      registers,
    }),
    repairs: new Counter({
      name: "breakwater_repairs_total",
      help: "Changes that put back what somebody else had removed or altered",
      labelNames: ["operation"],
      registers,
    }),
    problems: new Gauge({
      name: "breakwater_problems",
      help: "Problems that keep a part of the plan from being made, by error code",
      labelNames: ["code"],
      registers,
    }),
    pods: new Gauge({ name: "breakwater_pods", help: "Pod interfaces attached on this node", registers }),
    peers: new Gauge({
      name: "breakwater_peers",
      help: "Peer nodes, by the way to them (direct, vxlan, none)",
      labelNames: ["mode"],
      registers,
    }),
    podMtuBytes: new Gauge({ name: "breakwater_pod_mtu_bytes", help: "Planned MTU of every pod's device", registers }),
    pathMtuBytes: new Gauge({
      name: "breakwater_path_mtu_bytes",
      help: "Planned MTU of the path to a peer node",
      labelNames: ["peer", "mode"],
      registers,
    }),
    pathProvenBytes: new Gauge({
      name: "breakwater_path_proven_mtu_bytes",
      help: "Largest packet for pods that probes brought through the path to a peer node",
      labelNames: ["peer", "mode"],
      registers,
    }),
    pathVerdict: new Gauge({
      name: "breakwater_path_verdict",
      help: "1 for what probes say of the path to a peer: passes, local, too-big, black-hole, unreachable, unknown, unproven",
      labelNames: ["peer", "verdict"],
      registers,
    }),
    probePackets: new Gauge({
      name: "breakwater_probe_packets",
      help: "Probe packets since the start, by kind: probesSent, acknowledged, acknowledgementsSent, ignored",
      labelNames: ["kind"],
      registers,
    }),
    cniSeconds: new Histogram({
      name: "breakwater_cni_duration_seconds",
      help: "Time to answer a CNI call, by command and result (ok, or the CNI error code)",
      labelNames: ["command", "result"],
      buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
      registers,
    }),
    apiContactSeconds: new Gauge({
      name: "breakwater_api_last_contact_timestamp_seconds",
      help: "When the API server last sent something for this resource",
      labelNames: ["resource"],
      registers,
    }),
    apiErrors: new Counter({
      name: "breakwater_api_errors_total",
      help: "Lists and watches that failed, by resource",
      labelNames: ["resource"],
      registers,
    }),
  };
}

/** Only what is a problem now is counted. */
export function countProblems({ problems }: Pick<AgentMetrics, "problems">, codes: readonly string[]): void {
  problems.reset();
  for (const code of codes) problems.inc({ code });
}
