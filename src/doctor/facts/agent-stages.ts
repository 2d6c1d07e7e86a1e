/** What an agent's own metrics say of its stages: how late what it watches is, how long planning and the kernel take. */

import type { ChainLink, ChainStage } from "../../model/chain-report.ts";
import { histogramQuantile } from "../../model/latency.ts";
import { type MetricSamples, metricBuckets } from "../../model/metrics-text.ts";
import { CHAIN_LIMITS, measured, unmeasured } from "../checks/chain.ts";

const STAGES = [
  ["plan", "breakwater_plan_duration_seconds", "planning a round of the node", CHAIN_LIMITS.plan],
  ["kernel", "breakwater_apply_duration_seconds", "applying a round that changes something", CHAIN_LIMITS.kernel],
  [
    "kernel",
    "breakwater_service_event_to_kernel_seconds",
    "a Service's watch event to the kernel",
    CHAIN_LIMITS.kernel,
  ],
] as const satisfies readonly (readonly [ChainStage, string, string, { ms: number; source: string }])[];

/** Since the agent was started. */
export function agentLinks(samples: MetricSamples, address: string): ChainLink[] {
  return STAGES.map(([stage, name, what, limit]) => {
    const buckets = metricBuckets(samples, name) ?? [];
    const quantileMs = (share: number) => 1000 * (histogramQuantile(share, buckets) ?? 0);
    const count = buckets.at(-1)?.count ?? 0;
    if (count === 0) return unmeasured(stage, what, `the agent on ${address} has not done it yet`);
    const summary = { samples: count, p50Ms: quantileMs(0.5), p99Ms: quantileMs(0.99), p999Ms: null };
    const remedy = "See the node's CPU: top, /proc/pressure/cpu; and the agent's log";
    return measured(stage, what, summary, limit, { notes: ["since the agent was started"], remedy });
  });
}
