/** iptables-legacy: tables that are replaced whole, interrupted, meddled with, locked. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { IptablesLegacyPart } from "../../src/kernel/kube-proxy/iptables-legacy.ts";
import * as libc from "../../src/kernel/libc.ts";
import { withXtablesLock } from "../../src/kernel/xtables/lock.ts";
import { decodeTable, encodeTable } from "../../src/kernel/xtables/table-codec.ts";
import { type XtTables, xtTables } from "../../src/kernel/xtables/table-socket.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import { FAMILIES, inside, isKubeProxyLine, restore, save } from "./kube-proxy-rig.ts";
import { testNamespace } from "./namespaces.ts";

test("iptables-legacy: a table that was not changed goes back to the kernel byte for byte", (t) => {
  const ns = testNamespace(t);
  for (const family of FAMILIES) restore(ns, "legacy", { services: 30, family });
  for (const family of FAMILIES) {
    for (const name of ns.run(() => xtTables.names(family))) {
      const raw = ns.run(() => xtTables.read(family, name));
      assert.ok(raw);
      const encoded = encodeTable(decodeTable(raw));
      assert.deepEqual(encoded, raw);
      const counters = ns.run(() => xtTables.replace(encoded, raw.entryCount));
      ns.run(() => xtTables.addCounters(family, name, counters));
      assert.deepEqual(ns.run(() => xtTables.read(family, name))?.entries, raw.entries);
    }
  }
});

test("iptables-legacy: golden tables for the codec's own tests", (t) => {
  const ns = testNamespace(t);
  const folder = join(import.meta.dirname, "../../src/kernel/xtables/testdata");
  for (const [family, name] of [
    [4, "nat"],
    [6, "filter"],
  ] as const) {
    restore(ns, "legacy", { services: 4, family });
    const raw = ns.run(() => xtTables.read(family, name));
    assert.ok(raw);
    const file = join(folder, `${name}${family}.json`);
    const golden = { ...raw, entries: gzipSync(raw.entries).toString("base64"), save: save(ns, "legacy", family) };
    if (process.env["UPDATE_GOLDEN"] === "1") fs.writeFileSync(file, `${JSON.stringify(golden, undefined, 1)}\n`);
    const { entries: _, ...rest } = JSON.parse(fs.readFileSync(file, "utf8"));
    const { entries: __, ...now } = golden;
    assert.deepEqual(now, rest, "these rules make such a table on this machine too");
  }
});

test("iptables-legacy: interrupted between two tables it goes on where it was, and nobody loses a rule", (t) => {
  const ns = testNamespace(t);
  restore(ns, "legacy", { services: 50 });
  const rest = save(ns, "legacy", 4).filter((line) => !isKubeProxyLine(line));
  let calls = 0;
  const failing: XtTables = {
    ...xtTables,
    replace: (table, count) => {
      if (++calls === 2) throw new Error("injected");
      return xtTables.replace(table, count);
    },
  };
  const part = inside(ns, new IptablesLegacyPart(failing));
  const all = part.find()?.counts;
  assert.throws(() => part.remove(), /injected/);
  const half = part.find()?.counts;
  assert.ok((half?.["rules"] ?? 0) < (all?.["rules"] ?? 0) && (half?.["rules"] ?? 0) > 0);
  assert.deepEqual(
    save(ns, "legacy", 4).filter((line) => !isKubeProxyLine(line)),
    rest,
  );
  assert.deepEqual(part.remove(), half);
  assert.deepEqual(save(ns, "legacy", 4), rest);
  assert.equal(part.find(), undefined);
});

test("iptables-legacy: rules are gone although their counters could not be restored, and that is said", (t) => {
  const ns = testNamespace(t);
  restore(ns, "legacy", { services: 5 });
  const failing: XtTables = {
    ...xtTables,
    addCounters: () => {
      throw new Error("injected");
    },
  };
  assert.throws(() => inside(ns, new IptablesLegacyPart(failing)).remove(), /injected/);
  const part = inside(ns, new IptablesLegacyPart());
  assert.ok((part.find()?.counts["chains"] ?? 0) > 0, "tables behind the first are as they were");
  part.remove();
  const withoutCounters = (line: string) => line.replace(/^\[\d+:\d+\] |\[\d+:\d+\]$/, "");
  const untouched = testNamespace(t);
  restore(untouched, "legacy", { services: 0 });
  assert.deepEqual(save(ns, "legacy", 4).map(withoutCounters), save(untouched, "legacy", 4).map(withoutCounters));
});

test("iptables-legacy: a table that somebody replaced meanwhile is not overwritten", (t) => {
  const ns = testNamespace(t);
  restore(ns, "legacy", { services: 5 });
  const late: XtTables = {
    ...xtTables,
    replace: (table, count) => {
      const result = spawnSync("iptables-legacy", ["-t", table.name, "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT"]);
      assert.equal(result.status, 0);
      return xtTables.replace(table, count);
    },
  };
  // A lock of its own: the real one would make that iptables wait, which is what it is for.
  const part = inside(ns, new IptablesLegacyPart(late, (body) => body()));
  assert.throws(
    () => part.remove(),
    (error: unknown) => isBreakwaterError(error, "BW_XTABLES") && error.errno === "EAGAIN",
  );
  assert.match(save(ns, "legacy", 4).join("\n"), /-A OUTPUT -p udp -j ACCEPT/);
});

test("withXtablesLock() keeps iptables out, and is refused while iptables has the lock", (t) => {
  const folder = fs.mkdtempSync(join(tmpdir(), "breakwater-test-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const lock = join(folder, "xtables.lock");
  const ns = testNamespace(t);
  const env = { ...process.env, XTABLES_LOCKFILE: lock };
  const add = () => ns.run(() => spawnSync("iptables-legacy", ["-w", "1", "-A", "INPUT", "-j", "ACCEPT"], { env }));
  const status = withXtablesLock(() => add().status, lock);
  assert.equal(status, 4, "iptables says that another app has the lock");
  assert.equal(add().status, 0, "the lock is given back");
  const fd = libc.open(lock, 0, 0);
  t.after(() => libc.close(fd));
  assert.equal(libc.flock(fd, 2), 0);
  assert.throws(
    () => withXtablesLock(() => assert.fail("it must not run"), lock),
    (error: unknown) => isBreakwaterError(error, "BW_XTABLES_LOCK") && /another iptables has it/.test(error.message),
  );
  assert.throws(
    () => withXtablesLock(() => undefined, join(folder, "none", "lock")),
    (error: unknown) => isBreakwaterError(error, "BW_XTABLES_LOCK") && /Mount the host's/.test(error.remedy ?? ""),
  );
});
