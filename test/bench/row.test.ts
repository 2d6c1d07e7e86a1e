import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTable, makeRow, meetsGoal } from "./row.ts";

test("makeRow() divides, rounds and says null for what there is none of", () => {
  const row = makeRow("cni", "ADD", "ms", 2, { reference: 3, referenceName: "peer", goal: 0.25 });
  assert.deepEqual(row, {
    suite: "cni",
    name: "ADD",
    unit: "ms",
    ours: 2,
    reference: 3,
    referenceName: "peer",
    ratio: 0.6667,
    goal: 0.25,
  });
  const alone = makeRow("scale", "pods", "s", 12.34567);
  assert.deepEqual(
    [alone.ours, alone.reference, alone.referenceName, alone.ratio, alone.goal],
    [12.35, null, null, null, null],
  );
});

test("makeRow() takes a ratio that is no quotient of the medians", () => {
  assert.equal(makeRow("path", "rr", "us", 10, { reference: 5, ratio: 1.9 }).ratio, 1.9);
});

test("meetsGoal() holds up to and including the goal", () => {
  const ratio = (value: number, goal?: number) => makeRow("s", "n", "ms", value, { reference: 1, goal });
  assert.equal(meetsGoal(ratio(0.25, 0.25)), true);
  assert.equal(meetsGoal(ratio(0.26, 0.25)), false);
  assert.equal(meetsGoal(ratio(9)), true);
  assert.equal(meetsGoal(makeRow("s", "n", "ms", 1, { goal: 1 })), false);
});

test("formatTable() aligns columns and says whether a goal is met", () => {
  const text = formatTable([
    makeRow("cni", "ADD", "ms", 2.5, { reference: 20, referenceName: "bridge", goal: 0.25 }),
    makeRow("cni", "a longer name", "ms", 8, { reference: 10, referenceName: "bridge", goal: 0.25 }),
  ]);
  const [head = "", first = "", second = ""] = text.split("\n");
  assert.equal(head.indexOf("UNIT"), first.indexOf("ms"));
  assert.equal(first.indexOf("bridge"), second.indexOf("bridge"));
  assert.match(first, /0\.13\s+<= 0\.25\s+met$/);
  assert.match(second, /0\.80\s+<= 0\.25\s+MISSED$/);
});
