import assert from "node:assert/strict";
import { test } from "node:test";
import { formatNftTable } from "../model/nft.ts";
import { flowtableProblem, planFlowtable } from "./flowtable.ts";
import { config } from "./testing/scenarios.ts";

const input = { uplinks: ["eth0", "bwvxlan"], podLinks: ["bwh2", "bwh1"], mtuBytes: { pods: 1450, underlay: 1500 } };

test("planFlowtable() looks packets up on uplinks and pods' links, each once, in order", () => {
  const [flowtable] = planFlowtable({ ...input, podLinks: ["bwh2", "bwh1", "bwh2"] }).flowtables;
  assert.deepEqual(flowtable?.devices, ["bwh1", "bwh2", "bwvxlan", "eth0"]);
});

test("planFlowtable() has another flowtable for each size of packets: connections keep the one they began with", () => {
  const name = (pods: number, underlay: number) =>
    planFlowtable({ ...input, mtuBytes: { pods, underlay } }).flowtables[0]?.name;
  assert.equal(new Set([name(1450, 1500), name(1400, 1500), name(1450, 9000)]).size, 3);
  assert.equal(name(1450, 1500), name(1450, 1500));
});

test("planFlowtable() offers what conntrack saw in both directions, and only connections of pods", () => {
  const text = formatNftTable({ family: "inet", name: "t", sets: [], ...planFlowtable(input) });
  const rules = text.split("\n").filter((line) => line.includes("goto fast-offer"));
  assert.equal(rules.length, 5);
  for (const rule of rules) assert.match(rule, /"bwh\*".* ct state established ct status assured goto fast-offer/);
});

test("flowtableProblem() is there when the fast path is wanted and the kernel has none", () => {
  const facts = { nodeName: "node1", interfaces: [] };
  const wanted = { ...config, flowtable: true };
  assert.equal(flowtableProblem(config, { ...facts, flowtables: false }), undefined);
  assert.equal(flowtableProblem(wanted, { ...facts, flowtables: true }), undefined);
  assert.equal(flowtableProblem(wanted, { ...facts, flowtables: false })?.code, "BW_FLOWTABLE");
});
