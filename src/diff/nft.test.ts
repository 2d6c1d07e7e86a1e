import assert from "node:assert/strict";
import { test } from "node:test";
import { applyNftChange, observeTable } from "../kernel/fake/nft-steps.ts";
import { NFT_TABLE } from "../model/marks.ts";
import type { NftChain, NftRule, NftSet, NftTable } from "../model/nft.ts";
import type { NftChange, ObservedTable } from "../model/nft-changes.ts";
import { diffNft } from "./nft.ts";
import { tableBehind } from "./nft-outcome.ts";
import { randomTable } from "./testing/random-table.ts";

const base = { type: "nat", hook: "postrouting", priority: 100, policy: "accept" } as const;
const accept: NftRule = { statements: [{ verdict: "accept" }] };
const drop: NftRule = { statements: [{ verdict: "drop" }] };
const lookup: NftRule = { statements: [{ lookup: "ip daddr", set: "a" }, { verdict: "return" }] };

function set(name: string, elements: readonly string[], interval = true): NftSet {
  return { name, key: "ipv4_addr", interval, elements: [...elements].sort() };
}

function chain(name: string, rules: readonly NftRule[], hook?: NftChain["base"]): NftChain {
  return hook === undefined ? { name, rules } : { name, base: hook, rules };
}

function table(sets: readonly NftSet[], chains: readonly NftChain[]): NftTable {
  return { ...NFT_TABLE, sets, chains };
}

type FakeTable = ReturnType<typeof applyNftChange>;

/** What the kernel makes of the steps; throws where it refuses one. */
function commit(before: FakeTable, changes: readonly NftChange[]): FakeTable {
  return changes.reduce<FakeTable>((current, change) => applyNftChange(NFT_TABLE, current, change), before);
}

const observe = (current: FakeTable): ObservedTable | undefined => current && observeTable(NFT_TABLE, current);
const steps = (changes: readonly NftChange[]) => changes.map((change) => change.do).join(" ");

const whole = table([set("a", ["10.0.0.0/24"])], [chain("post", [lookup, accept], base)]);

const fast = (devices: readonly string[], name = "fast", priority = 0): NftTable => ({
  ...table([], [chain("offer", [{ statements: [{ flowAdd: name }] }])]),
  flowtables: [{ name, priority, devices }],
});

const ports: NftSet = {
  ...{ name: "ports", key: "inet_service", data: "verdict", interval: false },
  elements: ["80 : goto peers"],
};
const toPorts: NftRule = { statements: [{ vmap: "th dport", map: "ports" }] };

const cases: [string, NftTable, NftTable, string][] = [
  ["a flowtable", table([], []), fast(["a", "b"]), "addTable addFlowtable addChain addRule"],
  ["a device more", fast(["a"]), fast(["a", "b"]), "addFlowtable"],
  ["a device less", fast(["a", "b"]), fast(["b"]), "deleteFlowtableDevices"],
  ["another device", fast(["a"]), fast(["b"]), "addFlowtable deleteFlowtableDevices"],
  ["a flowtable less", fast(["a"]), table([], [chain("offer", [drop])]), "flushChain addRule deleteFlowtable"],
  [
    "a flowtable in the place of another",
    fast(["a", "b"]),
    fast(["b", "c"], "other"),
    "deleteTable addTable addFlowtable addChain addRule",
  ],
  ["a flowtable beside another", fast(["a"]), fast(["b"], "other"), "addFlowtable flushChain addRule deleteFlowtable"],
  ["another priority", fast(["a"]), fast(["a"], "fast", 5), "deleteTable addTable addFlowtable addChain addRule"],
  ["a new table", table([], []), whole, "addTable addSet addElements addChain addRule addRule"],
  [
    "a map less, and the chain that it leads to",
    table([ports], [chain("post", [toPorts], base), chain("peers", [drop])]),
    table([], [chain("post", [drop], base)]),
    "flushChain addRule flushChain deleteSet deleteChain",
  ],
  ["nothing", whole, whole, ""],
  ["a table that nobody wants", whole, table([], []), "deleteTable"],
  ["one element more", whole, table([set("a", ["10.0.0.0/24", "10.0.1.0/24"])], whole.chains), "addElements"],
  ["one element less", whole, table([set("a", [])], whole.chains), "deleteElements"],
  [
    "an element that grows over its old self",
    whole,
    table([set("a", ["10.0.0.0/16"])], whole.chains),
    "deleteElements addElements",
  ],
  ["other rules", whole, table(whole.sets, [chain("post", [lookup, drop], base)]), "flushChain addRule addRule"],
  ["no rules", whole, table(whole.sets, [chain("post", [], base)]), "flushChain"],
  ["a chain more", whole, table(whole.sets, [...whole.chains, chain("extra", [drop])]), "addChain addRule"],
  [
    "a set and a chain less",
    table([...whole.sets, set("b", ["10.9.0.0/16"])], [...whole.chains, chain("extra", [drop])]),
    whole,
    "flushChain deleteSet deleteChain",
  ],
  [
    "another hook",
    whole,
    table(whole.sets, [chain("post", [lookup, accept], { ...base, priority: 99 })]),
    "deleteTable addTable addSet addElements addChain addRule addRule",
  ],
  [
    "another type of set",
    whole,
    table([set("a", ["10.0.0.1"], false)], whole.chains),
    "deleteTable addTable addSet addElements addChain addRule addRule",
  ],
];

for (const [name, from, to, expected] of cases) {
  test(`diffNft() turns one table into another: ${name}`, () => {
    const before = commit(undefined, diffNft(from, undefined));
    const changes = diffNft(to, observe(before));
    assert.equal(steps(changes), expected);
    assert.deepEqual(diffNft(to, observe(commit(before, changes))), [], "nothing is left to do");
  });
}

test("diffNft() removes chains and sets in an order that the kernel accepts, also where they use each other", () => {
  const jump: NftRule = { statements: [{ verdict: { jump: "second" } }] };
  const from = table([set("a", [])], [chain("second", [lookup]), chain("first", [jump])]);
  const to = table([], [chain("post", [accept], base)]);
  const before = commit(undefined, diffNft(from, undefined));
  assert.deepEqual(
    observe(commit(before, diffNft(to, observe(before))))?.chains.map(({ name }) => name),
    ["post"],
  );
});

function randomNumbers(seed: number): (below: number) => number {
  let value = seed;
  return (below) => {
    value = (Math.imul(value, 1103515245) + 12345) & 0x7fffffff;
    return (value >> 8) % below;
  };
}

test("diffNft() arrives at the table that is wanted: 400 random pairs", () => {
  const random = randomNumbers(7);
  let current: FakeTable;
  for (let round = 0; round < 400; round++) {
    const wanted = randomTable(random);
    current = commit(current, diffNft(wanted, observe(current)));
    assert.deepEqual(diffNft(wanted, observe(current)), [], `round ${round}`);
    const elements = observe(current)?.sets.map(({ name, elements: has }) => [name, has]) ?? [];
    assert.deepEqual(elements.sort(), wanted.sets.map(({ name, elements: has }) => [name, has]).sort());
  }
});

test("tableBehind() says what a list of the table would: 400 random transactions, one behind the other", () => {
  const random = randomNumbers(11);
  let current: FakeTable;
  let known: ObservedTable | undefined;
  for (let round = 0; round < 400; round++) {
    const wanted = random(10) === 0 ? table([], []) : randomTable(random);
    const changes = diffNft(wanted, known);
    current = commit(current, changes);
    known = tableBehind(NFT_TABLE, known, changes);
    assert.deepEqual(inOrder(known), inOrder(observe(current)), `round ${round}`);
  }
});

function inOrder(observed: ObservedTable | undefined): unknown {
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  return observed && { ...observed, sets: observed.sets.toSorted(byName), chains: observed.chains.toSorted(byName) };
}
