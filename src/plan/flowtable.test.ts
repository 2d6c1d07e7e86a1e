import assert from "node:assert/strict";
import { test } from "node:test";
import { formatNftRule, formatNftTable } from "../model/nft.ts";
import type { PlannedPath } from "../model/state.ts";
import { flowtableProblem, planFlowtable } from "./flowtable.ts";
import { config } from "./testing/scenarios.ts";

const peer: PlannedPath = {
  node: "node2",
  mode: "direct",
  podCidrs: ["10.244.2.0/24", "fd00:10:244:2::/64"],
  peer: "192.168.1.2",
  device: "eth0",
  underlayMtuBytes: 1500,
  overheadBytes: 0,
  mtuBytes: 1500,
};
const input = {
  uplinks: ["eth0", "bwvxlan"],
  podLinks: ["bwh2", "bwh1"],
  paths: [peer],
  mtuBytes: { pods: 1450, underlay: 1500 },
};

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
  const text = formatNftTable({ family: "inet", name: "t", ...planFlowtable(input) });
  const rules = text.split("\n").filter((line) => line.includes("goto fast-offer"));
  assert.equal(rules.length, 5);
  for (const rule of rules) assert.match(rule, /"bwh\*".* ct state established ct status assured goto fast-offer/);
});

test("planFlowtable() leaves IPv6 of paths that carry less than the pods know on the ordinary path", () => {
  const narrow = { ...peer, node: "node3", podCidrs: ["10.244.3.0/24", "fd00:10:244:3::/64"], mtuBytes: 1400 };
  const away = { ...narrow, node: "node4", podCidrs: ["fd00:10:244:4::/64"], mode: "none" } as const;
  assert.deepEqual(planFlowtable(input).sets, []);
  const { sets, chains } = planFlowtable({ ...input, paths: [peer, narrow, away] });
  assert.deepEqual(
    sets.map(({ name, elements }) => [name, elements]),
    [["fast-narrow6", ["fd00:10:244:3::/64"]]],
  );
  assert.deepEqual(
    chains[1]?.rules.map((rule) => formatNftRule({ statements: rule.statements })),
    [
      "meta nfproto 10 ip6 saddr @fast-narrow6 return",
      "meta nfproto 10 ip6 daddr @fast-narrow6 return",
      "meta l4proto 6 flow add @fast-1450-1500",
      "meta l4proto 17 flow add @fast-1450-1500",
    ],
  );
});

test("flowtableProblem() is there when the fast path is wanted and the kernel has none", () => {
  const facts = { nodeName: "node1", interfaces: [] };
  const wanted = { ...config, flowtable: true };
  assert.equal(flowtableProblem(config, { ...facts, flowtables: false }), undefined);
  assert.equal(flowtableProblem(wanted, { ...facts, flowtables: true }), undefined);
  assert.equal(flowtableProblem(wanted, { ...facts, flowtables: false })?.code, "BW_FLOWTABLE");
});
