/** Judges etcd by its own metrics, between two looks where enough happened in between, else since it was started. */
import type { ChainLink } from "../../model/chain-report.ts";
import { type Bucket, histogramQuantile } from "../../model/latency.ts";
import { type MetricSamples, metricBuckets, metricValue } from "../../model/metrics-text.ts";
import { CHAIN_LIMITS, DISK_REMEDY, measured } from "./chain.ts";

export interface EtcdLooks {
  readonly url: string;
  readonly before: MetricSamples;
  readonly after: MetricSamples;
  readonly seconds: number;
}

/** Fewer say nothing of a p99. */
const ENOUGH = 30;

const HISTOGRAMS = [
  ["etcd_disk_wal_fsync_duration_seconds", "fsync of the write-ahead log", CHAIN_LIMITS.walFsync],
  ["etcd_disk_backend_commit_duration_seconds", "commit of the database", CHAIN_LIMITS.backendCommit],
] as const;

export function etcdLinks(looks: EtcdLooks): ChainLink[] {
  const notes = etcdNotes(looks);
  return HISTOGRAMS.flatMap(([name, what, limit], i) => {
    const found = histogramOf(name, looks);
    if (found === undefined) return [];
    const { buckets, span } = found;
    const quantileMs = (share: number) => 1000 * (histogramQuantile(share, buckets) ?? 0);
    const summary = {
      samples: buckets.at(-1)?.count ?? 0,
      p50Ms: quantileMs(0.5),
      p99Ms: quantileMs(0.99),
      p999Ms: null,
    };
    const told = [span, ...(i === 0 ? notes : [])];
    return [measured("etcd", `${what} of ${looks.url}`, summary, limit, { notes: told, remedy: DISK_REMEDY })];
  });
}

function histogramOf(
  name: string,
  { before, after, seconds }: EtcdLooks,
): { buckets: readonly Bucket[]; span: string } | undefined {
  const between = metricBuckets(after, name, before);
  if ((between?.at(-1)?.count ?? 0) >= ENOUGH && between !== undefined) {
    return { buckets: between, span: `during ${seconds} s` };
  }
  const all = metricBuckets(after, name);
  if (all === undefined || (all.at(-1)?.count ?? 0) === 0) return undefined;
  return { buckets: all, span: "since it was started: too little was written to look at now" };
}

/** What its counters say besides: each is a cause or a sign of one. */
function etcdNotes({ before, after, seconds }: EtcdLooks): string[] {
  const now = (name: string) => metricValue(after, name) ?? 0;
  const grown = (name: string) => Math.max(0, now(name) - (metricValue(before, name) ?? 0));
  const during = `during ${seconds} s`;
  const counted = (name: string, what: string) =>
    grown(name) > 0
      ? [`${grown(name)} ${what} ${during}`]
      : now(name) > 0
        ? [`${now(name)} ${what} since its start`]
        : [];
  const [size, quota] = [now("etcd_mvcc_db_total_size_in_bytes"), now("etcd_server_quota_backend_bytes")];
  return [
    ...(now("etcd_server_has_leader") === 0 ? ["it has NO leader: nothing can be written"] : []),
    ...leaderChanges(after, grown("etcd_server_leader_changes_seen_total"), during),
    ...counted("etcd_server_slow_apply_total", "slow applies (over 100 ms)"),
    ...counted(
      "etcd_server_heartbeat_send_failures_total",
      "heartbeats sent late: the leader is overloaded, mostly by its disk",
    ),
    ...counted("etcd_server_proposals_failed_total", "proposals failed"),
    ...(now("etcd_server_proposals_pending") > 10 ? [`${now("etcd_server_proposals_pending")} proposals wait`] : []),
    ...(quota > 0 && size > 0.8 * quota ? [`its database has ${Math.round((100 * size) / quota)} % of its quota`] : []),
  ];
}

/** The first leader is a change, too. */
function leaderChanges(after: MetricSamples, grown: number, during: string): string[] {
  if (grown > 0) return [`${grown} leader changes ${during}`];
  const all = metricValue(after, "etcd_server_leader_changes_seen_total") ?? 0;
  return all > 1 ? [`${all} leader changes since its start`] : [];
}
