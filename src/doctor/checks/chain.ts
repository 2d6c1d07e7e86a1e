/**
 * Judges the links of the chain from disk to kernel, and names the first that is slow: those behind it are late because of
 * it, and are no cause of their own.
 */
import { CHAIN_STAGES, type ChainLink, type ChainReport, type ChainStage } from "../../model/chain-report.ts";
import type { DiskReport } from "../../model/disk-report.ts";
import type { LatencySummary } from "../../model/latency.ts";

interface Limit {
  readonly ms: number;
  readonly source: string;
}

/** etcd's own words for its disk: https://etcd.io/docs/v3.5/faq/ and docs/v3.5/metrics. */
const ETCD = "etcd's documentation (FAQ, metrics)";
const SLO = "Kubernetes' SLO for calls that change one object";
const PROPOSED = "Breakwater's own, a proposal";

export const CHAIN_LIMITS = {
  fdatasync: { ms: 10, source: ETCD },
  walFsync: { ms: 10, source: ETCD },
  backendCommit: { ms: 25, source: ETCD },
  write: { ms: 1000, source: SLO },
  watch: { ms: 100, source: PROPOSED },
  plan: { ms: 200, source: PROPOSED },
  kernel: { ms: 200, source: PROPOSED },
} as const satisfies Readonly<Record<string, Limit>>;

export const DISK_REMEDY =
  "Give etcd a disk of its own, an SSD with power-loss protection; see who else writes there: iostat -x 1, iotop";

const nothing = { samples: null, p50Ms: null, p99Ms: null, p999Ms: null, limitMs: null, source: null } as const;

export function unmeasured(stage: ChainStage, what: string, why: string): ChainLink {
  return { stage, what, verdict: "unmeasured", ...nothing, notes: [why], remedy: null };
}

export function failed(stage: ChainStage, what: string, why: string, remedy: string | undefined): ChainLink {
  return { stage, what, verdict: "failed", ...nothing, notes: [why], remedy: remedy ?? null };
}

/** @param p999Ms null where samples are counted in buckets that say nothing of it */
export function measured(
  stage: ChainStage,
  what: string,
  { samples, p50Ms, p99Ms, p999Ms }: Omit<LatencySummary, "maxMs" | "p999Ms"> & { readonly p999Ms: number | null },
  limit: Limit,
  rest: { readonly notes?: readonly string[]; readonly remedy?: string } = {},
): ChainLink {
  const isSlow = p99Ms > limit.ms;
  return {
    stage,
    what,
    verdict: isSlow ? "slow" : "fine",
    samples,
    p50Ms: round(p50Ms),
    p99Ms: round(p99Ms),
    p999Ms: p999Ms === null ? null : round(p999Ms),
    limitMs: limit.ms,
    source: limit.source,
    notes: rest.notes ?? [],
    remedy: isSlow ? (rest.remedy ?? null) : null,
  };
}

export function diskLink({ folder, fileSystem, isDurable, fdatasync }: DiskReport): ChainLink {
  const notes = [
    ...(isDurable
      ? []
      : [`${fileSystem} is memory: fdatasync has nothing to do there, and this says nothing of a disk`]),
    ...(fdatasync.samples < 1000 ? [`p99.9 is the worst of ${fdatasync.samples} samples`] : []),
  ];
  const what = `fdatasync of ${folder} (${fileSystem})`;
  return measured("disk", what, fdatasync, CHAIN_LIMITS.fdatasync, { notes, remedy: DISK_REMEDY });
}

export function judgeChain(links: readonly ChainLink[]): ChainReport {
  const sorted = [...links].sort((a, b) => CHAIN_STAGES.indexOf(a.stage) - CHAIN_STAGES.indexOf(b.stage));
  const first = sorted.find(({ verdict }) => verdict === "slow" || verdict === "failed");
  return { links: sorted, cause: first?.stage ?? null, summary: summarizeChain(sorted, first) };
}

function summarizeChain(links: readonly ChainLink[], first: ChainLink | undefined): string {
  const unknown = [...new Set(links.filter(({ verdict }) => verdict === "unmeasured").map(({ stage }) => stage))];
  const rest = unknown.length === 0 ? "" : `; not measured: ${unknown.join(", ")}`;
  if (first === undefined) return `Everything that was measured is fine${rest}`;
  if (first.verdict === "failed")
    return `The chain is broken at ${first.stage}: ${first.what}: ${first.notes[0] ?? ""}${rest}`;
  const behind = links
    .filter((link) => link.verdict === "slow" && link.stage !== first.stage)
    .map(({ stage }) => stage);
  const also = behind.length === 0 ? "" : `; late behind it: ${[...new Set(behind)].join(", ")}`;
  return `The chain is slow from ${first.stage} on: ${first.what}, p99 ${first.p99Ms} ms, limit ${first.limitMs} ms${also}${rest}`;
}

function round(ms: number): number {
  return Number(ms.toPrecision(3));
}
