/** Tuning on a folder that looks like /proc/sys; the real one is in test/kernel and test/vm. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { sysctlsAt } from "../../kernel/sysctl.ts";
import { BreakwaterError, isBreakwaterError } from "../../model/errors.ts";
import type { TuningProfile } from "../../model/tuning.ts";
import { TUNING_FILE, Tuner } from "./tuner.ts";

const START = {
  "net/core/rmem_max": "212992\n",
  "net/ipv4/tcp_rmem": "4096\t131072\t6291456\n",
  "net/ipv4/tcp_slow_start_after_idle": "1\n",
};

function aMachine(t: TestContext) {
  const root = fs.mkdtempSync(join(tmpdir(), "breakwater-tune-"));
  t.after(() => fs.rmSync(root, { recursive: true }));
  const path = (name: string) => join(root, "proc/sys", name);
  const set = (name: string, value: string) => {
    fs.mkdirSync(dirname(path(name)), { recursive: true });
    fs.writeFileSync(path(name), value);
  };
  for (const [name, value] of Object.entries(START)) set(name, value);
  const stateFile = join(root, "run/breakwater", TUNING_FILE);
  const all = () =>
    Object.fromEntries(Object.keys(START).map((name) => [name, fs.readFileSync(path(name), "utf8").trimEnd()]));
  const tuner = (bootId = "boot1") =>
    new Tuner({ sysctl: sysctlsAt(root), files: { assignments: [] }, stateFile, bootId, now: () => 0 });
  return { root, path, set, stateFile, all, tuner, before: all() };
}

const profile = (values: Record<string, string>, name = "test"): TuningProfile => ({
  name,
  values: Object.entries(values).map(([key, value]) => ({ name: key, value, reason: "test" })),
});
const BIG = profile({
  "net/core/rmem_max": "67108864",
  "net/ipv4/tcp_rmem": "4096 87380 67108864",
  "net/ipv4/tcp_slow_start_after_idle": "0",
});

test("Tuner: apply, then undo, leaves everything as before, to the byte", (t) => {
  const { tuner, all, before, stateFile } = aMachine(t);
  const outcomes = tuner().apply(BIG);
  assert.deepEqual(
    outcomes.map(({ result }) => result),
    ["set", "set", "set"],
  );
  assert.equal(all()["net/ipv4/tcp_rmem"], "4096 131072 67108864");
  tuner().undo();
  assert.deepEqual(all(), before);
  assert.ok(!fs.existsSync(stateFile));
  assert.deepEqual(tuner().undo(), []);
});

/** What BIG's tuner would do that is ended behind so many writes. */
function endedBehind(survives: number, { root, stateFile }: Pick<ReturnType<typeof aMachine>, "root" | "stateFile">) {
  const sysctl = sysctlsAt(root);
  let [writes, atTheEnd] = [0, ""];
  const killed = new Tuner({
    sysctl: {
      read: sysctl.read,
      write: (name, value) => {
        if (writes++ === survives) atTheEnd = fs.readFileSync(stateFile, "utf8");
        if (writes <= survives) sysctl.write(name, value);
      },
    },
    files: { assignments: [] },
    stateFile,
    bootId: "boot1",
    now: () => 0,
  });
  killed.apply(BIG);
  // What it did behind its end does not count.
  fs.writeFileSync(stateFile, atTheEnd);
}

const SMALL = profile({ "net/core/rmem_max": "1000000", "net/ipv4/tcp_rmem": "4096 131072 8000000" }, "small");

for (const former of [undefined, SMALL]) {
  test(`Tuner: ended between any two writes, all of it can be undone, behind ${former?.name ?? "no"} profile`, (t) => {
    const machine = aMachine(t);
    const { tuner, before, all } = machine;
    for (const survives of [0, 1, 2]) {
      if (former !== undefined) tuner().apply(former);
      endedBehind(survives, machine);
      const results = tuner()
        .undo()
        .map(({ result }) => result);
      assert.deepEqual(results, ["restored", "restored", "restored"], `${survives} writes`);
      assert.deepEqual(all(), before);
    }
  });
}

test("Tuner: ended between two profiles, the next one begins at what was there before both", (t) => {
  const machine = aMachine(t);
  const { tuner, before, all } = machine;
  tuner().apply(SMALL);
  endedBehind(1, machine);
  assert.deepEqual(
    tuner()
      .drift()
      .map(({ name }) => name),
    ["net/ipv4/tcp_rmem", "net/ipv4/tcp_slow_start_after_idle"],
  );
  tuner().apply(SMALL);
  assert.equal(all()["net/core/rmem_max"], "1000000");
  tuner().undo();
  assert.deepEqual(all(), before);
});

test("Tuner: another profile begins at what was there before the first", (t) => {
  const { tuner, all, before } = aMachine(t);
  tuner().apply(BIG);
  tuner().apply(profile({ "net/core/rmem_max": "1000000" }, "small"));
  assert.deepEqual(all(), { ...before, "net/core/rmem_max": "1000000" });
  assert.equal(tuner().state()?.profile, "small");
  tuner().undo();
  assert.deepEqual(all(), before);
});

test("Tuner: a value that cannot follow to another profile can still be undone", (t) => {
  const { root, tuner, stateFile, all, before } = aMachine(t);
  tuner().apply(BIG);
  const sysctl = sysctlsAt(root);
  const write = (name: string, value: string) => {
    if (value === "99999999") throw new BreakwaterError("BW_SYSCTL", "EINVAL");
    sysctl.write(name, value);
  };
  const options = { files: { assignments: [] }, stateFile, bootId: "boot1", now: () => 0 };
  const picky = new Tuner({ ...options, sysctl: { read: sysctl.read, write } });
  const outcomes = picky.apply(profile({ "net/core/rmem_max": "99999999" }, "larger"));
  assert.deepEqual(
    outcomes.map(({ name, result }) => [name, result]),
    [
      ["net/ipv4/tcp_slow_start_after_idle", "restored"],
      ["net/ipv4/tcp_rmem", "restored"],
      ["net/core/rmem_max", "failed"],
    ],
  );
  assert.equal(all()["net/core/rmem_max"], "67108864");
  tuner().undo();
  assert.deepEqual(all(), before);
});

test("Tuner: applying twice is applying once", (t) => {
  const { tuner, all, before } = aMachine(t);
  tuner().apply(BIG);
  const applied = all();
  tuner().apply(BIG);
  assert.deepEqual(all(), applied);
  assert.ok(
    tuner()
      .plan(BIG)
      .every(({ isDue }) => !isDue),
  );
  tuner().undo();
  assert.deepEqual(all(), before);
});

test("Tuner: what somebody else changed since is drift, and not undone", (t) => {
  const { tuner, set, all, before } = aMachine(t);
  tuner().apply(BIG);
  assert.deepEqual(tuner().drift(), []);
  set("net/core/rmem_max", "5\n");
  assert.deepEqual(tuner().drift(), [{ name: "net/core/rmem_max", set: "67108864", found: "5" }]);
  const kept = tuner()
    .undo()
    .filter(({ result }) => result === "kept");
  assert.deepEqual(kept, [{ name: "net/core/rmem_max", from: "5", to: "212992", result: "kept" }]);
  assert.deepEqual(all(), { ...before, "net/core/rmem_max": "5" });
});

test("Tuner: a machine that started anew has nothing to undo", (t) => {
  const { tuner, all } = aMachine(t);
  tuner().apply(BIG);
  const applied = all();
  assert.deepEqual(tuner("boot2").undo(), []);
  assert.deepEqual(all(), applied);
});

test("Tuner: a sysctl that this kernel has not is told of, and never made", (t) => {
  const { tuner, path } = aMachine(t);
  const [row] = tuner().plan(profile({ "net/ipv4/no_such": "1" }));
  assert.equal(row?.action, "absent");
  assert.deepEqual(tuner().apply(profile({ "net/ipv4/no_such": "1" })), []);
  assert.ok(!fs.existsSync(path("net/ipv4/no_such")));
});

test("Tuner: a damaged record is said to be so, and nothing is touched", (t) => {
  const { tuner, stateFile, all, before } = aMachine(t);
  fs.mkdirSync(dirname(stateFile), { recursive: true });
  for (const text of ["", "{}", '{"bootId":"boot1","values":[{"name":"x"}]}']) {
    fs.writeFileSync(stateFile, text);
    assert.throws(
      () => tuner().undo(),
      (error) => isBreakwaterError(error, "BW_TUNING") && error.message.includes(stateFile),
      text,
    );
  }
  assert.deepEqual(all(), before);
});
