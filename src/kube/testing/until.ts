/** Waiting for what sockets bring about: looks again after every turn of the event loop. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";

/** Resolves when `condition` holds. @throws AssertionError saying what was waited for, after `limitMs` */
export async function until(what: string, condition: () => boolean, limitMs = 10_000): Promise<void> {
  const giveUpAt = performance.now() + limitMs;
  while (!condition()) {
    assert.ok(performance.now() < giveUpAt, `waited ${limitMs} ms in vain until ${what}`);
    await setImmediate();
  }
}
