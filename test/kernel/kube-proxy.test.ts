/** What kube-proxy left beside its rules: devices, sets, a process; and the whole takeover. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Registry } from "prom-client";
import { createKubeProxyMetrics } from "../../src/agent/kube-proxy-metrics.ts";
import { KubeProxyTakeover } from "../../src/agent/kube-proxy-takeover.ts";
import { openIpvs } from "../../src/kernel/genetlink/ipvs.ts";
import { IpsetPart } from "../../src/kernel/kube-proxy/ipset.ts";
import { IpvsPart } from "../../src/kernel/kube-proxy/ipvs.ts";
import { openKubeProxyParts } from "../../src/kernel/kube-proxy/open.ts";
import { processes } from "../../src/kernel/kube-proxy/running.ts";
import type { KubeProxyPart } from "../../src/kernel/kube-proxy/types.ts";
import { hasIpsets, openIpsets } from "../../src/kernel/nfnetlink/ipset-socket.ts";
import { ManualClock } from "../../src/kube/testing/manual-clock.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import { FAMILIES, inside, restore, run, save, VARIANTS } from "./kube-proxy-rig.ts";
import { nftText } from "./kube-proxy-rules.ts";
import { linkOf, type TestNamespace, testNamespace } from "./namespaces.ts";

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
