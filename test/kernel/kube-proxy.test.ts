import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Registry } from "prom-client";
import { createKubeProxyMetrics } from "../../src/agent/kube-proxy-metrics.ts";
import { KubeProxyTakeover } from "../../src/agent/kube-proxy-takeover.ts";
import { openIpvs } from "../../src/kernel/genetlink/ipvs.ts";
import { IpsetPart } from "../../src/kernel/kube-proxy/ipset.ts";
import { IptablesLegacyPart } from "../../src/kernel/kube-proxy/iptables-legacy.ts";
import { IptablesNftPart } from "../../src/kernel/kube-proxy/iptables-nft.ts";
import { IpvsPart } from "../../src/kernel/kube-proxy/ipvs.ts";
import { NftTablePart } from "../../src/kernel/kube-proxy/nft-table.ts";
import { openKubeProxyParts } from "../../src/kernel/kube-proxy/open.ts";
import { processes } from "../../src/kernel/kube-proxy/running.ts";
import type { KubeProxyPart } from "../../src/kernel/kube-proxy/types.ts";
import * as libc from "../../src/kernel/libc.ts";
import { type ForeignRuleset, openForeignRuleset } from "../../src/kernel/nfnetlink/foreign-ruleset.ts";
import { hasIpsets, openIpsets } from "../../src/kernel/nfnetlink/ipset-socket.ts";
import { withXtablesLock } from "../../src/kernel/xtables/lock.ts";
import { decodeTable, encodeTable } from "../../src/kernel/xtables/table-codec.ts";
import { type XtTables, xtTables } from "../../src/kernel/xtables/table-socket.ts";
import { ManualClock } from "../../src/kube/testing/manual-clock.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import { isKubeProxyChain } from "../../src/model/kube-proxy.ts";
import { type Family, nftText, type Rules, restoreText } from "./kube-proxy-rules.ts";
import { linkOf, type TestNamespace, testNamespace } from "./namespaces.ts";

type Variant = "legacy" | "nft";
const VARIANTS: readonly Variant[] = ["nft", "legacy"];
const FAMILIES: readonly Family[] = [4, 6];

function run(ns: TestNamespace, command: string, args: readonly string[], input = ""): string {
  const options = { encoding: "utf8", input, maxBuffer: 1 << 28 } as const;
  const { status, stdout, stderr } = ns.run(() => spawnSync(command, args, options));
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

function program(family: Family, variant: Variant): string {
  return `${family === 4 ? "iptables" : "ip6tables"}-${variant}`;
}

function restore(ns: TestNamespace, variant: Variant, rules: Rules): void {
  run(ns, `${program(rules.family ?? 4, variant)}-restore`, ["-c"], restoreText(rules));
}

/** What iptables-save -c prints, without the times in its comments. */
function save(ns: TestNamespace, variant: Variant, family: Family): string[] {
  const text = run(ns, `${program(family, variant)}-save`, ["-c"]);
  return text.split("\n").filter((line) => !line.startsWith("#"));
}

/** Lines that kube-proxy wrote: its chains, their rules, and jumps to them. */
function isKubeProxyLine(line: string): boolean {
  return line.split(/[\s:]/).some(isKubeProxyChain);
}

function partFor(variant: Variant): KubeProxyPart {
  return variant === "nft" ? new IptablesNftPart() : new IptablesLegacyPart();
}

/** A part asked in a namespace. */
function inside(ns: TestNamespace, part: KubeProxyPart) {
  return { find: () => ns.run(() => part.find()), remove: () => ns.run(() => part.remove()) };
}

for (const variant of VARIANTS) {
  test(`iptables-${variant}: kube-proxy's chains of 100 Services go, all others' rules stay byte for byte`, (t) => {
    const ns = testNamespace(t);
    const untouched = testNamespace(t);
    for (const family of FAMILIES) {
      restore(ns, variant, { services: 100, family });
      restore(untouched, variant, { services: 0, family });
    }
    const before = FAMILIES.map((family) => save(ns, variant, family));
    const part = inside(ns, partFor(variant));
    const found = part.find();
    assert.ok(found && (found.counts["chains"] ?? 0) > 500 && (found.counts["rules"] ?? 0) > 1400);
    assert.deepEqual(found.kept, []);
    assert.deepEqual(part.remove(), found.counts, "what was counted is what goes");
    for (const [i, family] of FAMILIES.entries()) {
      const after = save(ns, variant, family);
      assert.deepEqual(
        after,
        before[i]?.filter((line) => !isKubeProxyLine(line)),
        "counters and order are as they were",
      );
      assert.deepEqual(after, save(untouched, variant, family), "as if no kube-proxy had ever been here");
    }
    assert.equal(part.find(), undefined);
    assert.deepEqual(part.remove(), {});
  });

  test(`iptables-${variant}: what a rule of somebody else's chain needs stays, and is told`, (t) => {
    const ns = testNamespace(t);
    const untouched = testNamespace(t);
    restore(ns, variant, { services: 20, othersUseMark: true });
    restore(untouched, variant, { services: 0, othersUseMark: true });
    const part = inside(ns, partFor(variant));
    const kept = [
      "ip nat KUBE-MARK-MASQ, used by CNI-HOSTPORT-SETMARK",
      "ip nat KUBE-POSTROUTING, used by KUBE-MARK-MASQ",
    ];
    assert.deepEqual(part.find()?.kept, kept);
    part.remove();
    assert.deepEqual(save(ns, variant, 4), save(untouched, variant, 4));
    const { counts, kept: still } = part.find() ?? {};
    assert.deepEqual([counts, still], [{}, kept]);
    assert.deepEqual(part.remove(), {}, "nothing more goes");
    assert.deepEqual(save(ns, variant, 4), save(untouched, variant, 4));
  });

  test(`iptables-${variant}: a fingerprint tells what kube-proxy rewrites, not packets and others' rules`, (t) => {
    const ns = testNamespace(t);
    const iptables = program(4, variant);
    restore(ns, variant, { services: 3 });
    const part = inside(ns, partFor(variant));
    const first = part.find()?.fingerprint;
    run(ns, iptables, ["-t", "nat", "-I", "PREROUTING", "-p", "udp", "-j", "RETURN"]);
    run(ns, iptables, ["-t", "nat", "-Z"]);
    assert.equal(part.find()?.fingerprint, first);
    run(ns, iptables, ["-t", "nat", "-A", "KUBE-NODEPORTS", "-p", "tcp", "--dport", "30999", "-j", "KUBE-MARK-MASQ"]);
    assert.notEqual(part.find()?.fingerprint, first);
  });

  test(`iptables-${variant}: an empty namespace has nothing, and looking makes no table`, (t) => {
    const ns = testNamespace(t);
    const part = inside(ns, partFor(variant));
    assert.equal(part.find(), undefined);
    assert.deepEqual(part.remove(), {});
    assert.equal(run(ns, "nft", ["list", "ruleset"]), "");
    assert.deepEqual(
      FAMILIES.map((family) => ns.run(() => xtTables.names(family))),
      [[], []],
    );
  });
}

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

test("iptables-nft: rules of others keep their handles: they are never written anew", (t) => {
  const ns = testNamespace(t);
  restore(ns, "nft", { services: 30 });
  const handles = () =>
    run(ns, "nft", ["-a", "list", "ruleset"])
      .split("\n")
      .filter((line) => /# handle \d+$/.test(line) && !isKubeProxyLine(line.replaceAll('"', " ")));
  const kubeRules = (line: string) => /KUBE-(SVC|SEP|SERVICES|MARK-MASQ|POSTROUTING)/.test(line);
  const before = handles();
  inside(ns, new IptablesNftPart()).remove();
  const after = handles();
  assert.ok(after.length > 30);
  assert.deepEqual(
    after.filter((line) => !before.includes(line)),
    [],
  );
  assert.deepEqual(after.filter(kubeRules), []);
});

/** The kernel's ruleset, with somebody who acts between reading and deleting. */
function meddled(meddle: (attempt: number) => void): () => ForeignRuleset {
  let attempt = 0;
  return () => {
    const real = openForeignRuleset();
    return {
      generation: () => real.generation(),
      tables: () => real.tables(),
      chains: () => real.chains(),
      rules: (table) => real.rules(table),
      delete: (deletions, generation) => {
        meddle(++attempt);
        real.delete(deletions, generation);
      },
      [Symbol.dispose]: () => real[Symbol.dispose](),
    };
  };
}

test("iptables-nft: a ruleset that changed between reading and deleting is read anew", (t) => {
  const ns = testNamespace(t);
  const untouched = testNamespace(t);
  restore(ns, "nft", { services: 10 });
  restore(untouched, "nft", { services: 0, othersUseMark: true });
  // Portmap begins to use the mark just then: a removal that did not look again would fail, or break it.
  const rule = ["-t", "nat", "-A", "CNI-HOSTPORT-SETMARK", "-j", "KUBE-MARK-MASQ"];
  const attempts: number[] = [];
  const open = meddled((attempt) => {
    attempts.push(attempt);
    if (attempt === 1) assert.equal(spawnSync("iptables-nft", rule).status, 0);
  });
  const part = inside(ns, new IptablesNftPart(open));
  part.remove();
  assert.deepEqual(attempts, [1, 2]);
  assert.match(part.find()?.kept.join() ?? "", /KUBE-MARK-MASQ, used by CNI-HOSTPORT-SETMARK/);
  assert.match(save(ns, "nft", 4).join("\n"), /-A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ/);
});

test("iptables-nft: somebody who never stops is given up, and nothing has changed", (t) => {
  const ns = testNamespace(t);
  restore(ns, "nft", { services: 2 });
  const open = meddled(() => spawnSync("nft", ["add table ip busy; delete table ip busy"]));
  const before = save(ns, "nft", 4);
  assert.throws(
    () => inside(ns, new IptablesNftPart(open)).remove(),
    (error: unknown) => isBreakwaterError(error, "BW_NFTABLES") && error.errno === "ERESTART",
  );
  assert.deepEqual(save(ns, "nft", 4), before);
});

test("iptables-nft: a transaction that the kernel refuses changes nothing, names the step, and works later", (t) => {
  const ns = testNamespace(t);
  restore(ns, "nft", { services: 10 });
  const before = save(ns, "nft", 4);
  const refused = () => {
    const real = openForeignRuleset();
    const bad = { do: "deleteRule", family: "ip", table: "nat", chain: "PREROUTING", handle: 99_999n } as const;
    const open: ForeignRuleset = {
      generation: () => real.generation(),
      tables: () => real.tables(),
      chains: () => real.chains(),
      rules: (table) => real.rules(table),
      delete: (deletions, generation) => real.delete([...deletions, bad], generation),
      [Symbol.dispose]: () => real[Symbol.dispose](),
    };
    return open;
  };
  assert.throws(
    () => inside(ns, new IptablesNftPart(refused)).remove(),
    /rule 99999 of chain ip nat PREROUTING.*ENOENT/,
  );
  assert.deepEqual(save(ns, "nft", 4), before);
  const part = inside(ns, new IptablesNftPart());
  part.remove();
  assert.equal(part.find(), undefined);
});

test("iptables-nft: a chain that an element of somebody's map leads to stays", (t) => {
  const ns = testNamespace(t);
  restore(ns, "nft", { services: 2 });
  run(
    ns,
    "nft",
    ["-f", "-"],
    "add map ip nat mine { type inet_service : verdict; elements = { 80 : jump KUBE-MARK-MASQ }; }",
  );
  const part = inside(ns, new IptablesNftPart());
  part.remove();
  assert.match(part.find()?.kept[0] ?? "", /ip nat KUBE-MARK-MASQ, used by something that is no rule/);
  assert.match(run(ns, "nft", ["list", "map", "ip", "nat", "mine"]), /jump KUBE-MARK-MASQ/);
});

test("nftables mode: both tables of kube-proxy go, and no other", (t) => {
  const ns = testNamespace(t);
  const others = "table ip mine { chain kube-proxy { }\n}\ntable inet kube-proxy { }\ntable inet breakwater { }\n";
  run(ns, "nft", ["-f", "-"], others);
  const before = run(ns, "nft", ["list", "ruleset"]);
  run(ns, "nft", ["-f", "-"], nftText(100));
  const part = inside(ns, new NftTablePart());
  const found = part.find();
  assert.equal(found?.counts["tables"], 2);
  assert.ok((found?.counts["chains"] ?? 0) > 500);
  assert.equal(part.find()?.fingerprint, found?.fingerprint);
  run(ns, "nft", ["add", "chain", "ip", "kube-proxy", "endpoint-new"]);
  assert.notEqual(part.find()?.fingerprint, found?.fingerprint);
  assert.deepEqual(part.remove(), { ...found?.counts, chains: (found?.counts["chains"] ?? 0) + 1 });
  assert.equal(run(ns, "nft", ["list", "ruleset"]), before);
  assert.equal(part.find(), undefined);
  assert.deepEqual(part.remove(), {});
});

test("IPVS mode: the device kube-ipvs0 goes, and no other; a kernel without IPVS is no error", (t) => {
  const ns = testNamespace(t);
  using ipvs = ns.run(() => openIpvs());
  assert.deepEqual(ipvs?.virtualServers() ?? [], [], "a new namespace has none, whether the kernel has IPVS or not");
  const part = inside(ns, new IpvsPart());
  assert.equal(part.find(), undefined);
  ns.routes.createLink({ name: "kube-ipvs0", kind: { type: "bridge" } });
  ns.routes.createLink({ name: "kube-ipvs1", kind: { type: "bridge" } });
  ns.routes.addAddress({ index: linkOf(ns, "kube-ipvs0").index, address: "10.96.0.1", length: 32 });
  assert.deepEqual(part.find()?.counts, { links: 1 });
  assert.deepEqual(part.remove(), { links: 1 });
  assert.deepEqual(
    ns.routes.links().map(({ name }) => name),
    ["lo", "kube-ipvs1"],
  );
  assert.deepEqual(part.remove(), {});
});

const needsIpsets = { skip: hasIpsets() ? false : "this kernel has no ip_set, or has not loaded it" };

test("ip_set: kube-proxy's sets go once no rule uses them, and nobody else's", needsIpsets, (t) => {
  const ns = testNamespace(t);
  const sets = [
    "create KUBE-CLUSTER-IP hash:ip,port family inet",
    "add KUBE-CLUSTER-IP 10.96.0.1,tcp:443",
    "create KUBE-6-CLUSTER-IP hash:ip,port family inet6",
    "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535",
    "create KUBE-LOOP-BACK hash:ip,port,ip family inet",
    "create KUBE-SRC-5WYVLTB27BC6BAIE hash:ip",
    "create mine list:set",
    "add mine KUBE-LOOP-BACK",
  ];
  run(ns, "ipset", ["restore"], `${sets.join("\n")}\n`);
  const match = ["-t", "nat", "-A", "POSTROUTING", "-m", "set", "--match-set", "KUBE-CLUSTER-IP", "dst,dst"];
  run(ns, "iptables-legacy", [...match, "-j", "ACCEPT"]);
  const part = inside(ns, new IpsetPart());
  assert.deepEqual(part.find()?.counts, { sets: 2 });
  assert.deepEqual(part.find()?.kept, [
    "ipset KUBE-CLUSTER-IP, used by 1 rules or sets",
    "ipset KUBE-LOOP-BACK, used by 1 rules or sets",
  ]);
  using ipsets = ns.run(() => openIpsets());
  assert.throws(
    () => ipsets.destroy("KUBE-CLUSTER-IP"),
    (error: unknown) =>
      isBreakwaterError(error) && error.errno === "EBUSY" && /a rule or another set/.test(error.message),
  );
  assert.deepEqual(part.remove(), { sets: 2 });
  run(ns, "iptables-legacy", ["-t", "nat", "-F", "POSTROUTING"]);
  assert.deepEqual(part.remove(), { sets: 1 });
  run(ns, "ipset", ["destroy", "mine"]);
  assert.deepEqual(part.remove(), { sets: 1 });
  assert.equal(run(ns, "ipset", ["list", "-n"]).trim(), "KUBE-SRC-5WYVLTB27BC6BAIE");
  assert.equal(part.find(), undefined);
});

test("ip_set: the ports of NodePort sets are read, of either kind and however many", needsIpsets, (t) => {
  const ns = testNamespace(t);
  const ports = Array.from({ length: 3000 }, (_, i) => `add KUBE-NODE-PORT-TCP ${30000 + i}`);
  const sets = [
    "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535",
    ...ports,
    "create KUBE-NODE-PORT-SCTP-HASH hash:ip,port family inet",
    "add KUBE-NODE-PORT-SCTP-HASH 192.0.2.1,sctp:31000",
  ];
  run(ns, "ipset", ["restore"], `${sets.join("\n")}\n`);
  using ipsets = ns.run(() => openIpsets());
  const read = ipsets.ports("KUBE-NODE-PORT-TCP");
  assert.equal(
    read.reduce((sum, { first, last }) => sum + last - first + 1, 0),
    3000,
  );
  assert.deepEqual(ipsets.ports("KUBE-NODE-PORT-SCTP-HASH"), [{ protocol: 132, first: 31000, last: 31000 }]);
  assert.deepEqual(ipsets.ports("KUBE-NODE-PORT-UDP"), []);
  assert.deepEqual(
    ipsets
      .sets()
      .map(({ name }) => name)
      .sort(),
    ["KUBE-NODE-PORT-SCTP-HASH", "KUBE-NODE-PORT-TCP"],
  );
});

/** A node on which kube-proxy ran in every mode, one after the other. */
function usedNode(t: TestContext): TestNamespace {
  const ns = testNamespace(t);
  for (const variant of VARIANTS) for (const family of FAMILIES) restore(ns, variant, { services: 10, family });
  run(ns, "nft", ["-f", "-"], nftText(10));
  ns.routes.createLink({ name: "kube-ipvs0", kind: { type: "bridge" } });
  run(ns, "ipset", ["restore"], "create KUBE-CLUSTER-IP hash:ip,port family inet\n");
  const masquerade = ["-t", "nat", "-A", "KUBE-SERVICES", "-m", "set", "--match-set", "KUBE-CLUSTER-IP", "dst,dst"];
  run(ns, "iptables-nft", [...masquerade, "-j", "KUBE-MARK-MASQ"]);
  return ns;
}

test("openKubeProxyParts() has all parts in the order in which they can go", needsIpsets, (t) => {
  const ns = usedNode(t);
  const parts = openKubeProxyParts().map((part) => inside(ns, part));
  const kinds = parts.map((part) => part.find()?.kind);
  assert.deepEqual(kinds, ["iptables-nft", "iptables-legacy", "nftables", "ipvs", "ipset"]);
  assert.match(parts.at(-1)?.find()?.kept.join() ?? "", /KUBE-CLUSTER-IP, used by 1/, "a set that a rule uses");
  for (const part of parts) part.remove();
  assert.deepEqual(
    parts.map((part) => part.find()),
    [undefined, undefined, undefined, undefined, undefined],
  );
  for (const variant of VARIANTS) {
    const untouched = testNamespace(t);
    for (const family of FAMILIES) {
      restore(untouched, variant, { services: 0, family });
      assert.deepEqual(save(ns, variant, family), save(untouched, variant, family));
    }
  }
});

test("processes() sees a kube-proxy of its own namespace alone", async (t) => {
  const [here, elsewhere] = [testNamespace(t), testNamespace(t)];
  const folder = fs.mkdtempSync(join(tmpdir(), "breakwater-test-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const program = join(folder, "kube-proxy");
  fs.copyFileSync("/usr/bin/sleep", program);
  const child = here.run(() => spawn(program, ["60"], { stdio: "ignore" }));
  await once(child, "spawn");
  assert.deepEqual(
    here.run(() => processes()),
    [child.pid],
  );
  assert.deepEqual(
    elsewhere.run(() => processes()),
    [],
  );
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.deepEqual(
    here.run(() => processes()),
    [],
  );
});

test(
  "the takeover leaves a used node as if no kube-proxy had been there, also when it fails in the middle",
  needsIpsets,
  async (t) => {
    const ns = usedNode(t);
    const clock = new ManualClock(1);
    const lines: string[] = [];
    const say = (_: object, message: string) => void lines.push(message);
    let failures = 2;
    const parts = openKubeProxyParts().map((part): KubeProxyPart => {
      const { find, remove } = inside(ns, part);
      const failing = () => {
        if (part.kind === "iptables-legacy" && failures-- > 0) throw new Error("injected");
        return remove();
      };
      return { kind: part.kind, find, remove: failing };
    });
    const world = { serves: false };
    const takeover = new KubeProxyTakeover({
      nodeName: "n1",
      mode: "replace",
      parts,
      findRunning: async () => ({ pids: [], healthz: undefined }),
      servesAll: () => world.serves,
      clock,
      log: { debug: say, info: say, warn: say, error: say },
      metrics: createKubeProxyMetrics(new Registry()),
    });
    const before = VARIANTS.map((variant) => save(ns, variant, 4));
    await takeover.check();
    assert.deepEqual(
      VARIANTS.map((variant) => save(ns, variant, 4)),
      before,
      "nothing goes before ours serves",
    );
    world.serves = true;
    for (let second = 0; second < 10; second++) {
      clock.advance(1000);
      await takeover.check();
    }
    assert.deepEqual(
      parts.map((part) => part.find()),
      [undefined, undefined, undefined, undefined, undefined],
    );
    for (const variant of VARIANTS) {
      const untouched = testNamespace(t);
      for (const family of FAMILIES) {
        restore(untouched, variant, { services: 0, family });
        assert.deepEqual(save(ns, variant, family), save(untouched, variant, family));
      }
    }
    const removed = lines.filter((line) => line.startsWith("removed what kube-proxy left in"));
    assert.deepEqual(
      removed.map((line) => /left in (\S+):/.exec(line)?.[1]),
      ["iptables-nft", "nftables", "ipvs", "ipset", "iptables-legacy"],
    );
    takeover[Symbol.dispose]();
  },
);
