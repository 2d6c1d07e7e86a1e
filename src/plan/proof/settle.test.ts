import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding, ProofState } from "../../model/proof.ts";
import { HOLD_MS, holdMs, settle, unproven } from "./settle.ts";

const passes = (provenBytes: number): Finding => ({ verdict: "passes", provenBytes });
const hole = (provenBytes: number): Finding => ({ verdict: "black-hole", provenBytes });
const unknown: Finding = { verdict: "unknown", provenBytes: undefined };

/** Findings at fifths of the time that a larger size must last -> the state behind the last. */
const FIFTH_MS = HOLD_MS / 5;

function follow(...findings: readonly (readonly [number, Finding])[]): ProofState {
  return findings.reduce((state, [fifth, finding]) => settle(state, finding, fifth * FIFTH_MS), unproven(0));
}

test("settle(): sizes in force", () => {
  const table: [string, readonly (readonly [number, Finding])[], number | undefined][] = [
    ["nothing known", [[1, unknown]], undefined],
    ["first proof", [[1, passes(1500)]], 1500],
    ["first proof of less", [[1, hole(1400)]], 1400],
    [
      "less holds at once",
      [
        [1, passes(1500)],
        [2, hole(1400)],
      ],
      1400,
    ],
    [
      "no answer is no news",
      [
        [1, hole(1400)],
        [2, unknown],
      ],
      1400,
    ],
    [
      "more waits",
      [
        [1, hole(1400)],
        [2, passes(1500)],
        [6.9, passes(1500)],
      ],
      1400,
    ],
    [
      "more that lasted",
      [
        [1, hole(1400)],
        [2, passes(1500)],
        [7, passes(1500)],
      ],
      1500,
    ],
    [
      "more that was interrupted",
      [
        [1, hole(1400)],
        [2, passes(1500)],
        [4, hole(1400)],
        [5, passes(1500)],
        [8, passes(1500)],
      ],
      1400,
    ],
    [
      "what lasted is what was there all the while",
      [
        [1, hole(1300)],
        [2, hole(1400)],
        [5, passes(1500)],
        [7, passes(1500)],
      ],
      1400,
    ],
    [
      "a size that shrank while it waited waits anew",
      [
        [1, hole(1300)],
        [2, passes(1500)],
        [5, hole(1400)],
        [7, hole(1400)],
      ],
      1300,
    ],
    [
      "silence while more waits ends the wait",
      [
        [1, hole(1400)],
        [2, passes(1500)],
        [5, unknown],
        [7, passes(1500)],
      ],
      1400,
    ],
  ];
  for (const [name, findings, expected] of table) assert.equal(follow(...findings).inForceBytes, expected, name);
});

test("a path that came down ten times in ten minutes is raised later and later, and trusted again when it was quiet", () => {
  let state = settle(unproven(0), passes(1500), 0);
  let now = 1000;
  const waits: number[] = [];
  for (let flap = 1; flap <= 14; flap++) {
    state = settle(state, hole(1400), now);
    const hold = holdMs(state, now);
    waits.push(hold / HOLD_MS);
    state = settle(state, passes(1500), now);
    now += hold - 1;
    state = settle(state, passes(1500), now);
    assert.equal(state.inForceBytes, 1400, `flap ${flap}: too early`);
    now += 1;
    state = settle(state, passes(1500), now);
    assert.equal(state.inForceBytes, 1500, `flap ${flap}`);
  }
  assert.deepEqual(waits, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 16]);
  assert.equal(holdMs(state, now + 600_000), HOLD_MS);
});

test("a router that does not answer every time stays a router; one that never answers again is a black hole", () => {
  const router: Finding = { verdict: "too-big", provenBytes: 1400, tooBig: { from: "10.0.0.1", mtuBytes: 1400 } };
  let state = settle(unproven(0), router, 0);
  for (let look = 1; look <= 5; look++) {
    state = settle(state, hole(1400), look);
    assert.deepEqual([state.verdict, state.tooBig?.from, state.sinceMs], ["too-big", "10.0.0.1", 0]);
  }
  assert.equal(settle(settle(state, router, 6), hole(1400), 7).verdict, "too-big");
  assert.equal(settle(state, hole(1400), 6).verdict, "black-hole");
  assert.equal(settle(state, hole(1300), 6).verdict, "black-hole", "another size is another place");
});

test("the time of a verdict is when it began, not when it was last seen", () => {
  const state = follow([1, passes(1500)], [2, hole(1400)], [3, hole(1400)], [4, hole(1400)]);
  assert.equal(state.sinceMs, 2 * FIFTH_MS);
  assert.equal(state.checkedMs, 4 * FIFTH_MS);
});
