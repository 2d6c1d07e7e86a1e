import assert from "node:assert/strict";
import { test } from "node:test";
import { GracePeriod } from "./grace-period.ts";

test("GracePeriod ends after its time, and a second end only shortens it", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 1000;
  context.mock.method(performance, "now", () => now);
  const pass = (ms: number) => {
    now += ms;
    context.mock.timers.tick(ms);
  };
  const grace = new GracePeriod();
  grace.endIn(100);
  pass(50);
  grace.endIn(100);
  assert.equal(grace.over.aborted, false);
  pass(49);
  assert.equal(grace.over.aborted, false);
  pass(1);
  assert.equal(grace.over.aborted, true, "the longer one did not count");
  const second = new GracePeriod();
  second.endIn(100);
  second.endIn(10);
  pass(10);
  assert.equal(second.over.aborted, true);
});

test("GracePeriod of nothing is over at once, and one that is cancelled never is", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const none = new GracePeriod();
  none.endIn(0);
  assert.equal(none.over.aborted, true);
  const cancelled = new GracePeriod();
  cancelled.endIn(100);
  cancelled.cancel();
  context.mock.timers.tick(1000);
  assert.equal(cancelled.over.aborted, false);
});
