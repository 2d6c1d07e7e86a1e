/** Metrics of NetworkPolicies. What a count means where several policies select a pod: docs/design/policies.md. */
import { Counter, Gauge, type Registry } from "prom-client";

export interface PolicyMetrics {
  readonly deniedPackets: Counter<"namespace" | "policy" | "direction">;
  readonly deniedBytes: Counter<"namespace" | "policy" | "direction">;
  readonly logged: Counter<"result">;
  readonly stray: Counter;
  readonly policies: Gauge;
  readonly notUnderstood: Gauge;
}

export function createPolicyMetrics(registry: Registry): PolicyMetrics {
  const registers = [registry];
  const labelNames = ["namespace", "policy", "direction"] as const;
  return {
    deniedPackets: new Counter({
      name: "breakwater_policy_denied_packets_total",
      help: "Packets of this node's pods that no policy admits, counted for each policy that selects the pod in this direction",
      labelNames,
      registers,
    }),
    deniedBytes: new Counter({
      name: "breakwater_policy_denied_bytes_total",
      help: "Their bytes, headers of IP included",
      labelNames,
      registers,
    }),
    logged: new Counter({
      name: "breakwater_policy_denied_log_packets_total",
      help: "Denied packets that the kernel's limit let through to the log (--log-denied), by what became of them: written, limited (beyond the lines a second), lost (the socket overran)",
      labelNames: ["result"],
      registers,
    }),
    stray: new Counter({
      name: "breakwater_policy_stray_packets_total",
      help: "TCP segments of this node's pods that open no connection and belong to none: a policy cut it, or connection tracking forgot it",
      registers,
    }),
    policies: new Gauge({
      name: "breakwater_policies",
      help: "Policies of the cluster, as this node knows them",
      registers,
    }),
    notUnderstood: new Gauge({
      name: "breakwater_policies_not_understood",
      help: "Those with fields that could not be understood: these admit nothing",
      registers,
    }),
  };
}
