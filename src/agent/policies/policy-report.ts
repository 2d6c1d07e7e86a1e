/** What the agent tells of policies under /policies. */
import type { ClusterPolicy } from "../../model/policy.ts";
import type { PoliciesReport, PolicyReport } from "../../model/policy-report.ts";
import type { DeniedCounters } from "./denied-counters.ts";

export interface PolicyReportSources {
  readonly node: string;
  readonly failure: string | undefined;
  readonly logDeniedPerSecond: number | undefined;
  /** By `namespace/name`. */
  readonly policies: ReadonlyMap<string, Pick<ClusterPolicy, "problems">>;
  readonly counters: Pick<DeniedCounters, "byPolicy" | "together">;
}

export function policyReport({
  node,
  failure,
  logDeniedPerSecond,
  policies,
  counters,
}: PolicyReportSources): PoliciesReport {
  const counts = new Map(
    counters
      .byPolicy()
      .map(({ policy, direction, packets, bytes }) => [`${direction} ${policy}`, { packets, bytes }] as const),
  );
  const rows = Array.from(
    policies,
    ([policy, { problems = [] }]): PolicyReport => ({
      policy,
      problems,
      denied: {
        ingress: counts.get(`ingress ${policy}`) ?? null,
        egress: counts.get(`egress ${policy}`) ?? null,
      },
    }),
  );
  const denials = [...counters.together()];
  return {
    node,
    failure: failure ?? null,
    logDeniedPerSecond: logDeniedPerSecond ?? null,
    policies: rows.sort((a, b) => (a.policy < b.policy ? -1 : 1)),
    denials: denials.sort((a, b) => b.packets - a.packets || (a.policies.join() < b.policies.join() ? -1 : 1)),
  };
}
