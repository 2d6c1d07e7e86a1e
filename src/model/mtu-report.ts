/** What a node's agent says about the MTU of its paths: the answer to GET /mtu, and what `breakwater mtu` prints. */
import type { Family, Ip } from "./ip.ts";
import type { Layer, TooBig, Verdict } from "./proof.ts";
import type { PlannedPath } from "./state.ts";

/** Sizes are whole IP packets, bytes; times are RFC 3339, UTC. */
export interface TargetReport {
  readonly layer: Layer;
  readonly family: Family;
  readonly address: Ip;
  readonly plannedBytes: number;
  /** The size in force; null while nothing is proven. */
  readonly provenBytes: number | null;
  readonly verdict: Verdict;
  readonly tooBig: TooBig | null;
  readonly reason: string | null;
  readonly since: string;
  readonly checked: string | null;
  /** A larger size that passes and is used when it has passed for long enough. */
  readonly raisingToBytes: number | null;
}

export interface PathReport {
  readonly from: string;
  readonly to: string;
  readonly mode: PlannedPath["mode"];
  readonly underlayBytes: number;
  readonly overheadBytes: number;
  /** What the path should carry for pods: underlay less overhead. */
  readonly plannedBytes: number;
  /** What it was proven to carry for pods; null while nothing is proven. */
  readonly provenBytes: number | null;
  /** min(planned, proven): what routes and pods have. */
  readonly mtuBytes: number;
  readonly verdict: Verdict;
  /** The verdict in a sentence; empty when all is well. */
  readonly why: string;
  /** What to do about it; empty when all is well. */
  readonly remedy: string;
  readonly since: string;
  readonly targets: readonly TargetReport[];
}

export interface MtuReport {
  readonly node: string;
  readonly at: string;
  /** Why nothing is proven here; null when paths are probed. */
  readonly notProbing: string | null;
  readonly underlay: { readonly device: string; readonly mtuBytes: number } | null;
  readonly podMtuBytes: number | null;
  readonly paths: readonly PathReport[];
}

/**
 * What an agent publishes of its report, for `breakwater mtu --all`: without the targets, and in a large cluster without
 * the paths that carry what was planned.
 */
export interface PublishedMtuReport extends Omit<MtuReport, "paths"> {
  readonly paths: readonly Omit<PathReport, "targets">[];
  /** Paths that are as planned and not among those above. */
  readonly further: number;
}

/** Where it is: a ConfigMap a node, with this label, the report as JSON under this key. */
export const PUBLISHED = {
  namespace: "kube-system",
  name: (node: string) => `breakwater-mtu-${node}`,
  label: { key: "breakwater.dev/report", value: "mtu" },
  key: "report.json",
} as const;

/** A report that is older was left by an agent that is gone: agents write at least every ten minutes. */
export const REPORT_LIFETIME_MS = 1_500_000;
const MOST_PUBLISHED_PATHS = 100;

export function publishedReport(report: MtuReport): PublishedMtuReport {
  const rows = report.paths.map(({ targets: _, ...path }) => path);
  if (rows.length <= MOST_PUBLISHED_PATHS) return { ...report, paths: rows, further: 0 };
  const odd = rows.filter(({ verdict }) => verdict !== "passes").slice(0, MOST_PUBLISHED_PATHS);
  return { ...report, paths: odd, further: rows.length - odd.length };
}

/** The answer to GET /mtu/pod?name=NAMESPACE/NAME. */
export interface PodMtuReport {
  readonly pod: string;
  /** What both ends of its device should have. */
  readonly plannedBytes: number;
  readonly device: { readonly name: string; readonly mtuBytes: number | null };
  readonly hostDevice: { readonly name: string; readonly mtuBytes: number | null };
  /** The pod's routes; `mtuBytes` is null where the device's MTU holds. */
  readonly routes: readonly {
    readonly destination: string;
    readonly gateway: Ip | null;
    readonly mtuBytes: number | null;
  }[];
  /** Destinations whose path the pod's kernel learned to be narrower (ICMP). */
  readonly learned: readonly { readonly destination: Ip; readonly mtuBytes: number }[];
}
