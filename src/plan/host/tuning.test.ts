import assert from "node:assert/strict";
import { test } from "node:test";
import type { TuningProfile } from "../../model/tuning.ts";
import { KNOWN_SYSCTLS } from "./known-sysctls.ts";
import { PROFILES } from "./profiles.ts";
import { parseSysctlFiles, type SysctlFiles } from "./sysctl-files.ts";
import { joinValues, planTuning } from "./tuning.ts";

const NO_FILES: Pick<SysctlFiles, "assignments"> = { assignments: [] };
const RMEM = "net/ipv4/tcp_rmem";

function planOne(name: string, value: string, current: string | undefined, files = NO_FILES) {
  const profile: TuningProfile = { name: "test", values: [{ name, value, reason: "test" }] };
  const [row] = planTuning({ profile, current: new Map(current === undefined ? [] : [[name, current]]), files });
  assert.ok(row);
  return row;
}

test("planTuning() lowers no field of today's buffers when 2018's are pasted", () => {
  const row = planOne(RMEM, "4096 87380 16777216", "4096\t131072\t33554432");
  assert.equal(row.action, "better");
  assert.equal(row.target, "4096 131072 33554432");
  assert.match(row.notes.join("\n"), /131072 stays, not 87380, 33554432 stays, not 16777216/);
  assert.match(row.notes.join("\n"), /87380 was the default until Linux 4\.20/);
});

test("planTuning() takes of each field the better", () => {
  const row = planOne(RMEM, "8192 87380 16777216", "4096\t131072\t6291456");
  assert.equal(row.action, "set");
  assert.equal(row.target, "8192 131072 16777216");
});

test("joinValues() knows which way is better", () => {
  const cases: [Parameters<typeof joinValues>[0], string, string, string][] = [
    ["at-least", "600", "300", "600"],
    ["at-least", "600", "1000", "1000"],
    ["at-most", "86400", "432000", "86400"],
    ["at-most", "86400", "3600", "3600"],
    ["widest", "16384 60999", "32768\t65535", "16384 65535"],
    ["with", "30000-32767", "8080,31000-40000", "8080,30000-40000"],
    ["with", "30000-32767", "", "30000-32767"],
    ["exactly", "0", "1", "0"],
    ["exactly", "bbr", "cubic", "bbr"],
    ["at-least", "-5", "-10", "-5"],
    ["at-least", "9007199254740993", "9007199254740992", "9007199254740993"],
  ];
  for (const [rule, wanted, current, target] of cases) {
    assert.deepEqual(joinValues(rule, wanted, current), { target }, `${rule} ${wanted} / ${current}`);
  }
});

test("joinValues() takes a value that means 'without limit' for the largest, minus sign or not", () => {
  assert.deepEqual(joinValues("at-least", "950000", "-1", ["-1"]), { target: "-1" });
  assert.deepEqual(joinValues("at-most", "131072", "-1", ["-1"]), { target: "131072" });
  assert.deepEqual(joinValues("at-least", "-1", "950000", ["-1"]), { target: "-1" });
});

test("joinValues() refuses to compare what cannot be compared", () => {
  assert.match(JSON.stringify(joinValues("at-least", "1 2 3", "5")), /the kernel has 1 fields \(\\"5\\"\), not 3/);
  assert.match(JSON.stringify(joinValues("at-least", "bbr", "cubic")), /no whole number/);
  assert.match(JSON.stringify(joinValues("with", "5-1", "")), /no number or range/);
});

test("planTuning() says what tcp_fastopen=3 does by itself: nothing", () => {
  assert.match(planOne("net/ipv4/tcp_fastopen", "3", "1").notes.join("\n"), /does nothing by itself.*TCP_FASTOPEN/);
  assert.doesNotMatch(planOne("net/ipv4/tcp_fastopen", "1", "1").notes.join("\n"), /does nothing/);
});

test("planTuning() says that pods have their own", () => {
  assert.match(
    planOne("net/core/somaxconn", "65535", "4096").notes.join("\n"),
    /each pod has its own, which is not touched/,
  );
});

test("planTuning() says that a sysctl is not on this kernel, and since when", () => {
  assert.deepEqual(planOne("net/ipv4/tcp_tw_recycle", "1", undefined).notes, [
    "gone since Linux 4.12: it broke clients behind NAT",
  ]);
  const row = planOne("net/ipv4/no_such", "1", undefined);
  assert.equal(row.action, "absent");
  assert.match(row.notes[0] ?? "", /this kernel has no such sysctl/);
});

test("planTuning() names the file that sets something else at boot", () => {
  const files = parseSysctlFiles([
    { path: "/usr/lib/sysctl.d/10.conf", text: "net.core.rmem_max=1\n" },
    { path: "/etc/sysctl.d/90.conf", text: "net.core.rmem_max = 212992\n" },
  ]);
  const { notes } = planOne("net/core/rmem_max", "67108864", "212992", files);
  assert.deepEqual(notes, [
    "/etc/sysctl.d/90.conf:1 sets it to 212992 at boot (/usr/lib/sysctl.d/10.conf:1 set it, too)",
  ]);
});

test("planTuning() warns of client ports that are NodePorts", () => {
  assert.match(
    planOne("net/ipv4/ip_local_port_range", "1024 65000", "32768\t60999").notes.join(),
    /those of NodePorts/,
  );
  assert.doesNotMatch(planOne("net/ipv4/ip_local_port_range", "33000 65000", "33000\t60999").notes.join(), /NodePorts/);
});

test("every value of every profile is known: reason, source, unit, default, and which way is better", () => {
  for (const { name, values } of Object.values(PROFILES)) {
    for (const value of values) {
      const known = KNOWN_SYSCTLS.get(value.name);
      assert.ok(known, `${name}: ${value.name}`);
      assert.ok(known.source.startsWith("Documentation/") && known.kernelDefault !== "", value.name);
      assert.ok(value.reason.length > 20, value.name);
    }
  }
});

test("no profile touches the switches that devices of pods are born with", () => {
  const names = Object.values(PROFILES).flatMap(({ values }) => values.map(({ name }) => name));
  assert.deepEqual(
    names.filter((name) => /\/conf\//.test(name)),
    [],
  );
});
