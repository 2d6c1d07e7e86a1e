import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "./backoff.ts";

test("Backoff.next() doubles its ceiling from 500 ms to the cap of 30 s", () => {
  const backoff = new Backoff({ random: () => 1 });
  const ceilings = Array.from({ length: 8 }, () => backoff.next());
  assert.deepEqual(ceilings, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(backoff.failures, 8);
});

test("Backoff.next() draws from the whole span below the ceiling", () => {
  const dice = [0, 0.25, 0.999];
  const backoff = new Backoff({ baseMs: 1000, random: () => dice.shift() ?? 0 });
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next()], [0, 500, 3996]);
});

test("Backoff.next() stays at the cap after a thousand failures", () => {
  const backoff = new Backoff({ random: () => 1 });
  for (let i = 0; i < 2000; i++) backoff.next();
  assert.equal(backoff.next(), 30_000);
});

test("Backoff.reset() makes the next failure a first one", () => {
  const backoff = new Backoff({ random: () => 1 });
  backoff.next();
  backoff.next();
  backoff.reset();
  assert.equal(backoff.next(), 500);
});
