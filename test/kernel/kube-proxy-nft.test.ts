/** What kube-proxy left in nftables: chains of iptables-nft, tables of its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { IptablesNftPart } from "../../src/kernel/kube-proxy/iptables-nft.ts";
import { NftTablePart } from "../../src/kernel/kube-proxy/nft-table.ts";
import { type ForeignRuleset, openForeignRuleset } from "../../src/kernel/nfnetlink/foreign-ruleset.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import { inside, isKubeProxyLine, restore, run, save } from "./kube-proxy-rig.ts";
import { nftText } from "./kube-proxy-rules.ts";
import { testNamespace } from "./namespaces.ts";

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
