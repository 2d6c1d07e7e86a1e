/** When a difference counts, what is done about it, and what is left alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { BgpDifference } from "../../model/bgp-verification.ts";
import { RouteCheck } from "./route-check.ts";

const LOOK_MS = 120_000;
const AGAIN_MS = 25_000;
const WRITTEN_MS = 2000;

/** BIRD has it, the kernel does not. */
const missing: BgpDifference = { prefix: "10.244.2.0/24", api: "Node node2", bird: "via 192.168.1.2", kernel: null };
/** The kernel has it, nobody else. */
const stray: BgpDifference = { prefix: "fd00:99::/64", api: null, bird: null, kernel: "via fe80::1" };
/** Nobody told BIRD. */
const untold: BgpDifference = { prefix: "10.244.3.0/24", api: "Node node3", bird: null, kernel: null };

function rig() {
  const clock = new ManualClock();
  const seen = { differences: [] as BgpDifference[], settled: true, failure: null as string | null, throws: false };
  const [done, told, said]: [string[], string[][], string[]] = [[], [], []];
  const check = new RouteCheck({
    clock,
    log: {
      info: (_fields: object, text: string) => void said.push(text),
      warn: (_fields: object, text: string) => void said.push(text),
    },
    verify: async () => {
      if (seen.throws) throw new Error("the kernel cannot be listed");
      return { node: "node1", failure: seen.failure, prefixes: 9, differences: seen.differences };
    },
    isSettled: async () => seen.settled,
    rewrite: async (family) => void done.push(`rewrite ${family}`),
    deleteRoute: (prefix) => void done.push(`delete ${prefix}`),
    onDifferences: (differences) => told.push(differences.map(({ prefix }) => prefix)),
    onRepair: () => done.push("repair"),
  });
  const pass = async (ms: number) => {
    clock.advance(ms);
    for (let i = 0; i < 5; i++) await setImmediate();
  };
  return { check, clock, seen, done, told, said, pass };
}

test("RouteCheck says nothing while all agree, look after look", async () => {
  const it = rig();
  for (let look = 0; look < 5; look++) await it.pass(LOOK_MS);
  assert.deepEqual([it.done, it.told, it.said], [[], [], []]);
});

test("RouteCheck does not count what BIRD mends by itself", async () => {
  const it = rig();
  it.seen.differences = [missing];
  await it.pass(LOOK_MS);
  it.seen.differences = [untold];
  await it.pass(AGAIN_MS);
  assert.deepEqual([it.done, it.told, it.check.differences], [[], [], []]);
});

test("RouteCheck tells of a difference that lasts, has BIRD write its routes anew, and tells when all agree again", async () => {
  const it = rig();
  it.seen.differences = [missing];
  await it.pass(LOOK_MS);
  await it.pass(AGAIN_MS);
  assert.deepEqual([it.told, it.done], [[["10.244.2.0/24"]], ["rewrite 4", "repair"]]);
  assert.deepEqual(it.check.differences, [missing]);
  it.seen.differences = [];
  await it.pass(WRITTEN_MS);
  await it.pass(WRITTEN_MS);
  assert.deepEqual([it.told.at(-1), it.check.differences], [[], []]);
  assert.deepEqual(it.done, ["rewrite 4", "repair"]);
});

test("RouteCheck deletes a route by BIRD's name that BIRD does not know, when BIRD has had its chance", async () => {
  const it = rig();
  it.seen.differences = [stray];
  await it.pass(LOOK_MS);
  await it.pass(AGAIN_MS);
  assert.deepEqual(it.done, ["rewrite 6", "repair"]);
  await it.pass(WRITTEN_MS);
  assert.deepEqual(it.done, ["rewrite 6", "repair", "delete fd00:99::/64", "repair"]);
});

test("RouteCheck deletes nothing that came meanwhile", async () => {
  const it = rig();
  it.seen.differences = [missing];
  await it.pass(LOOK_MS);
  await it.pass(AGAIN_MS);
  it.seen.differences = [stray];
  await it.pass(WRITTEN_MS);
  assert.deepEqual(it.done, ["rewrite 4", "repair"]);
});

test("RouteCheck tells of what BIRD was never told, once, and leaves the kernel alone", async () => {
  const it = rig();
  it.seen.differences = [untold];
  for (let look = 0; look < 3; look++) {
    await it.pass(LOOK_MS);
    await it.pass(AGAIN_MS);
  }
  assert.deepEqual([it.told, it.done], [[["10.244.3.0/24"]], []]);
});

test("RouteCheck touches nothing while BIRD waits for its peers, cannot be asked, or the kernel cannot be listed", async () => {
  for (const trouble of [{ settled: false }, { failure: "BIRD does not run" }, { throws: true }]) {
    const it = rig();
    it.seen.differences = [stray];
    await it.pass(LOOK_MS);
    Object.assign(it.seen, trouble);
    await it.pass(AGAIN_MS);
    assert.deepEqual([it.done, it.told], [[], []], JSON.stringify(trouble));
    Object.assign(it.seen, { settled: true, failure: null, throws: false });
    await it.pass(LOOK_MS);
    await it.pass(AGAIN_MS);
    assert.deepEqual(it.told, [["fd00:99::/64"]], "and looks again later");
  }
});

test("RouteCheck looks no more after its end", async () => {
  const it = rig();
  it.check[Symbol.dispose]();
  assert.deepEqual(it.clock.delays(), []);
});
