import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapSpaceStatistics } from "node:v8";
import { IdleCollector, settleV8 } from "./idle-collector.ts";

test("IdleCollector collects once when work has ended, not while it goes on", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let collections = 0;
  using collector = new IdleCollector({ quietMs: 100, leastIntervalMs: 0, collect: () => collections++ });
  for (let i = 0; i < 5; i++) {
    collector.touch();
    t.mock.timers.tick(60);
  }
  assert.equal(collections, 0, "work goes on");
  t.mock.timers.tick(40);
  assert.equal(collections, 1);
  t.mock.timers.tick(10_000);
  assert.equal(collections, 1, "nothing was done since");
});

test("IdleCollector keeps its distance from the collection before", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let collections = 0;
  using collector = new IdleCollector({ quietMs: 10, leastIntervalMs: 60_000, collect: () => collections++ });
  collector.touch();
  t.mock.timers.tick(10);
  assert.equal(collections, 1, "the first one does not wait");
  collector.touch();
  t.mock.timers.tick(50_000);
  assert.equal(collections, 1);
  t.mock.timers.tick(10_000);
  assert.equal(collections, 2);
});

test("IdleCollector collects now and then while nothing else happens", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let collections = 0;
  using collector = new IdleCollector({ quietMs: 10, repeatMs: 1000, collect: () => collections++ });
  collector.touch();
  t.mock.timers.tick(10);
  for (let i = 0; i < 3; i++) t.mock.timers.tick(1000);
  assert.equal(collections, 4);
});

test("IdleCollector does nothing once disposed", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let collections = 0;
  const collector = new IdleCollector({ quietMs: 10, collect: () => collections++ });
  collector.touch();
  collector[Symbol.dispose]();
  t.mock.timers.tick(1000);
  assert.equal(collections, 0);
});

test("IdleCollector's own collection frees what is no longer used", async () => {
  let freed = 0;
  const registry = new FinalizationRegistry(() => freed++);
  for (let i = 0; i < 100; i++) registry.register({ garbage: new Array(1000).fill(i) }, i);
  using collector = new IdleCollector({ quietMs: 0 });
  collector.touch();
  const until = performance.now() + 5000;
  while (freed === 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(freed > 50, `${freed} of 100 objects were freed`);
});

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? Number.NaN;
}

/** Before anything was collected: that can make it smaller, for a while. */
const atStart = youngBytes();

/** What a list of objects is while it is read: much, and all of it survives. */
function readMuch(): unknown[] {
  return Array.from({ length: 400_000 }, (_, i) => ({ name: `object ${i}`, values: [i, i + 1] }));
}

test("settleV8() keeps V8's young generation from growing, whatever survives in it", () => {
  settleV8();
  assert.equal(readMuch().length, 400_000);
  assert.ok(youngBytes() <= atStart, `${youngBytes()} bytes, at the start ${atStart}`);
});
