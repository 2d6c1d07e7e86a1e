/** What kube-proxy left in iptables, of either variant, and what is of others, in the real kernel. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { xtTables } from "../../src/kernel/xtables/table-socket.ts";
import { FAMILIES, inside, isKubeProxyLine, partFor, program, restore, run, save, VARIANTS } from "./kube-proxy-rig.ts";
import { testNamespace } from "./namespaces.ts";

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
