import assert from "node:assert/strict";
import { test } from "node:test";
import { type MetricSamples, parseMetrics } from "../../model/metrics-text.ts";
import { judgeChain, unmeasured } from "./chain.ts";
import { etcdLinks } from "./etcd.ts";

const LIMITS = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032];

/** @param slow syncs of 16 to 32 ms; quick ones take up to 1 ms */
function metrics(quick: number, slow: number, more: Record<string, number> = {}): MetricSamples {
  const histogram = (name: string) => [
    ...LIMITS.map((le) => `${name}_bucket{le="${le}"} ${le < 0.03 ? quick : quick + slow}`),
    `${name}_bucket{le="+Inf"} ${quick + slow}`,
  ];
  return parseMetrics(
    [
      ...histogram("etcd_disk_wal_fsync_duration_seconds"),
      ...histogram("etcd_disk_backend_commit_duration_seconds"),
      "etcd_server_has_leader 1",
      ...Object.entries({ etcd_server_leader_changes_seen_total: 1, ...more }).map(
        ([name, value]) => `${name} ${value}`,
      ),
    ].join("\n"),
  );
}
const look = (before: MetricSamples, after: MetricSamples) => etcdLinks({ url: "http://e", before, after, seconds: 3 });

test("etcdLinks() judges what happened between two looks", () => {
  const [wal, commit] = look(metrics(1000, 0), metrics(1100, 0));
  assert.deepEqual([wal?.verdict, wal?.samples, commit?.verdict], ["fine", 100, "fine"]);
  assert.deepEqual(wal?.notes, ["during 3 s"]);
  const [slow] = look(metrics(1000, 0), metrics(1050, 50));
  assert.equal(slow?.verdict, "slow");
  assert.ok((slow?.p99Ms ?? 0) > 16 && (slow?.p99Ms ?? 0) <= 32, `${slow?.p99Ms}`);
});

test("etcdLinks() looks at all since the start where too little happened", () => {
  const [wal] = look(metrics(1000, 100), metrics(1001, 100));
  assert.equal(wal?.samples, 1101);
  assert.match(wal?.notes[0] ?? "", /since it was started/);
  assert.deepEqual(look(metrics(0, 0), metrics(0, 0)), []);
});

test("etcdLinks() says what etcd's counters say", () => {
  const before = metrics(100, 0, { etcd_server_slow_apply_total: 1 });
  const after = metrics(200, 0, {
    etcd_server_leader_changes_seen_total: 3,
    etcd_server_slow_apply_total: 5,
    etcd_server_heartbeat_send_failures_total: 2,
    etcd_server_has_leader: 0,
    etcd_mvcc_db_total_size_in_bytes: 1900,
    etcd_server_quota_backend_bytes: 2000,
  });
  const [wal] = look(before, after);
  const notes = wal?.notes.join("\n") ?? "";
  assert.match(notes, /2 leader changes during 3 s/);
  assert.match(notes, /4 slow applies/);
  assert.match(notes, /2 heartbeats sent late/);
  assert.match(notes, /95 % of its quota/);
});

test("judgeChain() names the first slow link, and what is late behind it", () => {
  const links = look(metrics(1000, 0), metrics(1050, 50));
  const watch = unmeasured("watch", "its event", "--no-api");
  const report = judgeChain([watch, ...links]);
  assert.equal(report.cause, "etcd");
  assert.match(report.summary, /slow from etcd on: fsync of the write-ahead log.*not measured: watch/);
  assert.deepEqual(
    report.links.map(({ stage }) => stage),
    ["etcd", "etcd", "watch"],
  );
});
