import assert from "node:assert/strict";
import { test } from "node:test";
import { median } from "./median.ts";
import { type TrapResult, type TrapRound, trapCases } from "./mtu-trap.ts";
import { summarizeTrap } from "./mtu-trap-summary.ts";

const round: TrapRound = {
  gigabitsPerSecond: 12.345,
  cpuSecondsPerGigabyte: 0.5871,
  smallUs: 39.34,
  largeUs: 62,
  streamHangs: false,
  perSecond: { IpFragCreates: 180_960, IpReasmReqds: 0 },
};

function resultOf(...rounds: Partial<TrapRound>[]): TrapResult {
  const [trap] = trapCases;
  assert.ok(trap !== undefined);
  return { case: trap, rounds: rounds.map((change) => ({ ...round, ...change })) };
}

test("summarizeTrap() gives medians with three digits", () => {
  const { explanation: _, ...summary } = summarizeTrap(
    resultOf({ largeUs: 90 }, { gigabitsPerSecond: 1 }, { gigabitsPerSecond: 20 }),
  );
  assert.deepEqual(summary, {
    case: "right",
    streamHangs: false,
    gigabitsPerSecond: 12.3,
    cpuSecondsPerGigabyte: 0.587,
    smallMessageUs: 39.3,
    largeMessageUs: 62,
    fragmentsPerSecond: 181_000,
    reassembliesPerSecond: 0,
  });
});

test("summarizeTrap() says of what hung in any round that it hangs", () => {
  const summary = summarizeTrap(resultOf({}, { largeUs: null, streamHangs: true, cpuSecondsPerGigabyte: null }));
  assert.deepEqual([summary.streamHangs, summary.largeMessageUs, summary.cpuSecondsPerGigabyte], [true, null, null]);
  assert.equal(summary.smallMessageUs, 39.3);
});

test("median() is the middle one, or between the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.throws(() => median([]), RangeError);
});
