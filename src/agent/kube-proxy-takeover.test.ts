import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Registry } from "prom-client";
import { FakeKubeProxyPart } from "../kernel/fake/kube-proxy.ts";
import { ManualClock } from "../kube/testing/manual-clock.ts";
import type { KubeProxyMode, KubeProxyRunning } from "../model/kube-proxy.ts";
import { createKubeProxyMetrics } from "./kube-proxy-metrics.ts";
import { KubeProxyTakeover } from "./kube-proxy-takeover.ts";

const NOBODY: KubeProxyRunning = { pids: [], healthz: undefined };
const SOMEBODY: KubeProxyRunning = { pids: [71], healthz: "127.0.0.1:10256" };

interface World {
  running: KubeProxyRunning;
  servesAll: boolean | Error;
  lookFails: number;
}

/** A node with kube-proxy's rules of two modes, on a clock that stands still. */
function rig(mode: KubeProxyMode | undefined, start: Partial<World> = {}) {
  const world: World = { running: NOBODY, servesAll: true, lookFails: 0, ...start };
  const clock = new ManualClock(1);
  const calls: string[] = [];
  const nft = new FakeKubeProxyPart("iptables-nft", { chains: 138, rules: 348 }, calls);
  const ipvs = new FakeKubeProxyPart("ipvs", {}, calls);
  const ipset = new FakeKubeProxyPart("ipset", { sets: 17 }, calls);
  const lines: string[] = [];
  const say = (level: string) => (fields: object, message: string) => {
    const code = "code" in fields ? ` ${fields.code}` : "";
    lines.push(`${level}${code} ${message}`);
  };
  const registry = new Registry();
  const takeover = new KubeProxyTakeover({
    nodeName: "n1",
    mode,
    parts: [nft, ipvs, ipset],
    findRunning: async () => {
      if (world.lookFails-- > 0) throw new Error("no /proc");
      return world.running;
    },
    servesAll: () => {
      if (world.servesAll instanceof Error) throw world.servesAll;
      return world.servesAll;
    },
    clock,
    log: { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") },
    metrics: createKubeProxyMetrics(registry),
  });
  const pass = async (ms: number) => {
    clock.advance(ms);
    for (let turn = 0; turn < 5; turn++) await nextTurn();
  };
  const metric = async (name: string, kind: string) => {
    const values = (await registry.getSingleMetric(name)?.get())?.values ?? [];
    return values.find(({ labels }) => labels["kind"] === kind)?.value;
  };
  const removals = () => calls.filter((call) => call.startsWith("remove"));
  return { world, clock, calls, nft, ipvs, ipset, lines, takeover, pass, metric, removals };
}

test("replace: removes in order once ours serves, one line with counts a kind, and counts it", async () => {
  const { takeover, lines, removals, metric, clock } = rig("replace");
  await takeover.check();
  assert.deepEqual(removals(), ["remove iptables-nft", "remove ipset"]);
  assert.deepEqual(lines, [
    "info removed what kube-proxy left in iptables-nft: 138 chains, 348 rules",
    "info removed what kube-proxy left in ipset: 17 sets",
  ]);
  assert.equal(await metric("breakwater_kube_proxy_removed_total", "iptables-nft"), 486);
  assert.equal(await metric("breakwater_kube_proxy_removed_total", "ipset"), 17);
  assert.equal(await metric("breakwater_kube_proxy_objects", "iptables-nft"), 486);
  assert.deepEqual(clock.delays(), [30_000]);
});

test("replace: a node without anything is looked at every ten minutes", async () => {
  const { takeover, nft, ipset, lines, clock, pass, calls } = rig("replace");
  nft.counts = {};
  ipset.counts = {};
  await takeover.check();
  assert.deepEqual([lines, clock.delays()], [[], [600_000]]);
  await pass(600_000);
  assert.equal(calls.length, 6);
});

test("replace: nothing is removed before ours serves; then it is within a second", async () => {
  const { takeover, world, removals, lines, pass, calls } = rig("replace", { servesAll: false });
  await takeover.check();
  for (let second = 0; second < 20; second++) await pass(1000);
  assert.deepEqual(removals(), []);
  assert.equal(calls.length, 3, "waiting does not read the kernel over and over");
  assert.deepEqual(lines, ["info kube-proxy's rules go once all Services are served by Breakwater"]);
  world.servesAll = true;
  await pass(1000);
  assert.deepEqual(removals(), ["remove iptables-nft", "remove ipset"]);
});

test("replace: waiting for ours, it looks anew every 30 s all the same", async () => {
  const { takeover, pass, calls, lines } = rig("replace", { servesAll: false });
  await takeover.check();
  for (let second = 0; second < 61; second++) await pass(1000);
  assert.equal(calls.length, 9);
  assert.equal(lines.length, 1, "and says so once");
});

test("replace: a callback that throws is a no", async () => {
  const { takeover, world, removals, lines, pass } = rig("replace", { servesAll: new Error("no table") });
  await takeover.check();
  for (let second = 0; second < 40; second++) await pass(1000);
  assert.deepEqual(removals(), []);
  assert.deepEqual(
    lines.filter((line) => line.startsWith("error")),
    ["error cannot tell whether all Services are served: no table"],
  );
  world.servesAll = true;
  await pass(1000);
  assert.equal(removals().length, 2);
});

test("replace: while kube-proxy runs nothing is removed, both are named, and it goes on when that one is gone", async () => {
  const { takeover, world, removals, lines, pass } = rig("replace", { running: SOMEBODY });
  await takeover.check();
  await pass(30_000);
  await pass(30_000);
  assert.deepEqual(removals(), []);
  assert.equal(lines.length, 1, "said once");
  assert.match(lines[0] ?? "", /^warn BW_KUBE_PROXY_RUNNING kube-proxy runs on node n1 \(process 71, /);
  assert.equal(takeover.problems[0]?.code, "BW_KUBE_PROXY_RUNNING");
  world.running = NOBODY;
  await pass(30_000);
  assert.equal(removals().length, 2);
  assert.match(lines[1] ?? "", /^info BW_KUBE_PROXY_RUNNING over: kube-proxy runs/);
  assert.deepEqual(takeover.problems, []);
});

test("no option: says what is left, once, and touches nothing", async () => {
  const { takeover, removals, lines, pass, clock } = rig(undefined);
  await takeover.check();
  await pass(30_000);
  assert.deepEqual(removals(), []);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /^warn BW_KUBE_PROXY_STATE .*iptables-nft \(138 chains, 348 rules\), ipset \(17 sets\)/);
  assert.deepEqual(clock.delays(), [30_000]);
});

test("no option: rules that change under our eyes mean that somebody writes them", async () => {
  const { takeover, nft, lines, pass } = rig(undefined);
  await takeover.check();
  nft.write({ chains: 140, rules: 352 });
  await pass(30_000);
  assert.match(lines[1] ?? "", /^info BW_KUBE_PROXY_STATE over/);
  assert.match(lines[2] ?? "", /^warn BW_KUBE_PROXY_RUNNING Something on node n1 writes .*\(iptables-nft\)/);
});

test("keep: kube-proxy's rules are not even read while it runs; without any there is a problem", async () => {
  const { takeover, world, calls, nft, ipset, lines, pass, clock } = rig("keep", { running: SOMEBODY });
  await takeover.check();
  assert.deepEqual([calls, lines, clock.delays()], [[], [], [30_000]]);
  world.running = NOBODY;
  await pass(30_000);
  assert.deepEqual(lines, [], "it may be starting anew: its rules serve");
  nft.counts = {};
  ipset.counts = {};
  await pass(30_000);
  assert.match(lines[0] ?? "", /^warn BW_KUBE_PROXY_ABSENT Nobody serves Services on node n1/);
});

test("a removal that fails is tried again with growing pauses, is said once, and the rest is removed meanwhile", async () => {
  const { takeover, nft, removals, lines, pass, clock, metric } = rig("replace");
  nft.failRemovals = 3;
  nft.removedBeforeFailure = 100;
  await takeover.check();
  assert.deepEqual(removals(), ["remove iptables-nft", "remove ipset"]);
  assert.deepEqual(clock.delays(), [1000]);
  await pass(1000);
  assert.deepEqual(clock.delays(), [2000]);
  await pass(2000);
  assert.deepEqual(clock.delays(), [4000]);
  await pass(4000);
  assert.deepEqual(clock.delays(), [30_000]);
  assert.deepEqual(lines, [
    "error cannot remove what kube-proxy left in iptables-nft, tried again by itself: Cannot delete iptables-nft of kube-proxy: the kernel answered EBUSY (BW_NETLINK)",
    "info removed what kube-proxy left in ipset: 17 sets",
    "info removed what kube-proxy left in iptables-nft: 48 rules",
  ]);
  assert.equal(await metric("breakwater_kube_proxy_failures_total", "iptables-nft"), 3);
  assert.deepEqual(takeover.problems, [], "what we changed ourselves is not taken for somebody's writing");
});

test("a failure that comes back after it was over is said again", async () => {
  const { takeover, nft, lines, pass } = rig("replace");
  nft.failRemovals = 1;
  await takeover.check();
  await pass(1000);
  nft.write({ chains: 1 });
  nft.failRemovals = 1;
  await pass(30_000);
  assert.equal(lines.filter((line) => line.startsWith("error cannot remove")).length, 2);
});

test("sets stay while virtual servers could not be removed: by them those are told", async () => {
  const { takeover, ipvs, removals, pass } = rig("replace");
  ipvs.counts = { "virtual servers": 3, links: 1 };
  ipvs.failRemovals = 1;
  await takeover.check();
  assert.deepEqual(removals(), ["remove iptables-nft", "remove ipvs"]);
  await pass(1000);
  assert.deepEqual(removals().slice(2), ["remove ipvs", "remove ipset"]);
});

test("a part that cannot be read stops no other, and is tried again soon", async () => {
  const { takeover, nft, removals, lines, clock } = rig("replace");
  nft.failFinds = 1;
  await takeover.check();
  assert.deepEqual(removals(), ["remove ipset"]);
  assert.match(lines[0] ?? "", /^error cannot find what kube-proxy left in iptables-nft/);
  assert.deepEqual(clock.delays(), [1000]);
});

test("a look that fails altogether is tried again", async () => {
  const { takeover, lines, removals, pass } = rig("replace", { lookFails: 2 });
  await takeover.check();
  await pass(1000);
  await pass(2000);
  assert.deepEqual(
    lines.filter((line) => line.startsWith("error")),
    ["error cannot look for kube-proxy, tried again by itself: no /proc"],
  );
  assert.equal(removals().length, 2);
});

test("what comes back is removed again, each time later, and said", async () => {
  const { takeover, nft, removals, lines, pass } = rig("replace");
  await takeover.check();
  const times: number[] = [];
  for (let at = 30_000; at <= 2_400_000; at += 30_000) {
    nft.write({ chains: 9 });
    const before = removals().length;
    await pass(30_000);
    if (removals().length > before) times.push(at / 1000);
  }
  assert.deepEqual(times.slice(0, 6), [30, 90, 210, 450, 930, 1530], "pauses double up to ten minutes");
  const warnings = lines.filter((line) => line.startsWith("warn"));
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", /BW_KUBE_PROXY_RUNNING Something on node n1 writes kube-proxy's rules/);
});

test("what others need is named once, and left", async () => {
  const { takeover, nft, ipset, lines, pass, removals, clock } = rig("replace");
  ipset.counts = {};
  nft.kept = ["ip nat KUBE-MARK-MASQ, used by CNI-HOSTPORT-SETMARK"];
  await takeover.check();
  await pass(30_000);
  assert.deepEqual(removals(), ["remove iptables-nft"]);
  assert.match(lines[0] ?? "", /^info left of kube-proxy's, because somebody else needs it: ip nat KUBE-MARK-MASQ/);
  assert.equal(lines.length, 2);
  assert.deepEqual(clock.delays(), [600_000], "what has to stay is no reason to look often");
});

test("check() is not begun twice, and after the end nothing is begun", async () => {
  const { takeover, calls, clock, pass } = rig("replace");
  await Promise.all([takeover.check(), takeover.check()]);
  assert.equal(calls.filter((call) => call === "find iptables-nft").length, 1);
  takeover[Symbol.dispose]();
  assert.deepEqual(clock.delays(), []);
  await takeover.check();
  await pass(60_000);
  assert.equal(calls.filter((call) => call === "find iptables-nft").length, 1);
});

test("an end while it looks begins no removal", async () => {
  const { takeover, removals } = rig("replace");
  const checking = takeover.check();
  takeover[Symbol.dispose]();
  await checking;
  assert.deepEqual(removals(), []);
});
