import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type PlanInput, planNode } from "./plan.ts";
import { config, eth0, input, node, pod, scenarios } from "./testing/scenarios.ts";
import { formatPlan } from "./testing/state-text.ts";

/** Golden files: run with UPDATE_GOLDEN=1 to write them, and read the difference before it is committed. */
const folder = join(import.meta.dirname, "testdata");

for (const [name, given] of Object.entries(scenarios)) {
  test(`planNode() plans ${name}`, () => {
    const file = join(folder, `${name}.txt`);
    const text = formatPlan(planNode(given));
    if (process.env["UPDATE_GOLDEN"] === "1") fs.writeFileSync(file, text);
    assert.equal(text, fs.readFileSync(file, "utf8"));
  });
}

test("every golden file has its scenario", () => {
  const files = fs.readdirSync(folder).map((file) => file.replace(/\.txt$/, ""));
  assert.deepEqual(files.sort(), Object.keys(scenarios).sort());
});

function shuffled<T>(values: Iterable<T>, seed: number): T[] {
  const result = [...values];
  let state = seed;
  for (let i = result.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    const j = state % (i + 1);
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}

test("planNode() makes the same bytes of the same input in any order", () => {
  for (const [name, given] of Object.entries(scenarios)) {
    const expected = JSON.stringify(planNode(given));
    for (let seed = 1; seed <= 20; seed++) {
      const other: PlanInput = {
        ...given,
        nodes: new Map(shuffled(given.nodes, seed)),
        pods: shuffled(given.pods, seed),
        facts: { ...given.facts, interfaces: shuffled(given.facts.interfaces, seed) },
        config: { ...given.config, masqueradeExceptions: shuffled(given.config.masqueradeExceptions, seed) },
      };
      assert.equal(JSON.stringify(planNode(other)), expected, `${name}, order ${seed}`);
    }
  }
});

test("planNode() changes nothing of what it is given", () => {
  for (const given of Object.values(scenarios)) {
    const before = structuredClone(given);
    planNode(given);
    assert.deepEqual(given, before);
  }
});

test("planNode() plans a thousand nodes, and of each only what concerns it", (t) => {
  const nodes = [node(1, ["192.168.1.1"])];
  for (let i = 2; i <= 1000; i++) {
    const [high, low] = [i >> 8, i & 255];
    nodes.push({ ...node(i, [`192.168.${100 + high}.${low}`]), podCidrs: [`10.${64 + high}.${low}.0/24`] });
  }
  const started = performance.now();
  const result = planNode(input({ nodes }));
  t.diagnostic(`planned in ${(performance.now() - started).toFixed(1)} ms`);
  assert.ok("state" in result);
  const { state } = result;
  assert.deepEqual(
    [state.paths.length, state.routes.length, state.neighbours.length, state.fdb.length],
    [999, 999, 999, 999],
  );
  const without = planNode(input({ nodes: nodes.filter(({ name }) => name !== "node500") }));
  assert.ok("state" in without);
  const kept = new Set(without.state.routes.map((route) => JSON.stringify(route)));
  assert.deepEqual(
    state.routes.filter((route) => !kept.has(JSON.stringify(route))).map(({ cause }) => cause),
    ["Node node500"],
  );
});

test("planNode() takes the address order of the Node, not of the machine", () => {
  const interfaces = [
    eth0({ name: "eth1", index: 3, mtuBytes: 9000, addresses: [{ address: "10.0.0.1", length: 24 }] }),
    eth0(),
  ];
  for (const [internalIps, device] of [
    [["192.168.1.1", "10.0.0.1"], "eth0"],
    [["10.0.0.1", "192.168.1.1"], "eth1"],
  ] as const) {
    const nodes = [node(1, internalIps), node(2, ["172.16.0.2"])];
    const result = planNode(input({ nodes, interfaces, config: { ...config, routing: "vxlan" }, pods: [pod(1)] }));
    assert.equal("state" in result && result.state.vxlan?.underlay, device);
  }
});
