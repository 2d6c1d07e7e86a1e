/** Containment of selectors, blocks and ports, compared with trying everything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyPort } from "../../model/policy.ts";
import { prefixContains } from "../../model/prefix.ts";
import { matchesSelector, type Requirement, selectorText, sortedSelector } from "../../model/selector.ts";
import { type Random, randomNumbers } from "../services/testing/random-services.ts";
import { blockContains, constraintsContain, constraintsOf, portContains } from "./audit-containment.ts";
import { blockLattice, portLattice, readSelector, selectorLattice } from "./audit-lattice.ts";
import { portText } from "./policy-text.ts";
import { pick } from "./testing/random-policies.ts";

const KEYS = ["app", "tier"] as const;
const VALUES = ["a", "b", "c"] as const;
/** With a value that no selector names: what a selector does not exclude, somebody may have. */
const POSSIBLE = [undefined, ...VALUES, "z"] as const;
const EVERY_LABELS = POSSIBLE.flatMap((app) =>
  POSSIBLE.map((tier) => ({ ...(app && { app }), ...(tier && { tier }) }) as Record<string, string>),
);

function randomSelector(random: Random) {
  const requirement = (): Requirement => {
    const operator = pick(random, ["In", "In", "NotIn", "Exists", "DoesNotExist"] as const);
    const values = operator === "In" || operator === "NotIn" ? [pick(random, VALUES), pick(random, VALUES)] : [];
    return { key: pick(random, KEYS), operator, values };
  };
  return sortedSelector(Array.from({ length: random(4) }, requirement));
}

test("constraintsContain() is exact: it says what every possible set of labels says", () => {
  const random = randomNumbers(3);
  let contained = 0;
  for (let i = 0; i < 4000; i++) {
    const [outer, inner] = [randomSelector(random), randomSelector(random)];
    const expected = EVERY_LABELS.every((labels) => !matchesSelector(inner, labels) || matchesSelector(outer, labels));
    const found = constraintsContain(constraintsOf(outer), constraintsOf(inner));
    assert.equal(found, expected, `{${selectorText(outer)}} contains {${selectorText(inner)}}`);
    if (found) contained++;
  }
  assert.ok(contained > 400 && contained < 3600, String(contained));
});

const BLOCKS = ["0.0.0.0/0", "10.0.0.0/24", "10.0.0.0/28", "10.0.0.0/30", "10.0.0.4/30", "10.0.0.8/29", "10.0.1.0/30"];
const SIX = ["::/0", "fd00::/124", "fd00::8/125"];
const ADDRESSES = [
  ...Array.from({ length: 20 }, (_, i) => `10.0.0.${i}`),
  ...["10.0.1.1", "10.0.0.255", "192.0.2.1", "fd00::1", "fd00::9", "fd01::"],
];

test("blockContains() never says so of a block with an address that the other one has not", () => {
  const random = randomNumbers(5);
  let contained = 0;
  const block = () => {
    const list = random(4) === 0 ? SIX : BLOCKS;
    const prefix = pick(random, list);
    const except = Array.from({ length: random(3) }, () => pick(random, list)).filter((each) => each !== prefix);
    return { kind: "block" as const, prefix, except: [...new Set(except)].sort() };
  };
  for (let i = 0; i < 6000; i++) {
    const [outer, inner] = [block(), block()];
    if (!blockContains(outer, inner)) continue;
    contained++;
    for (const ip of ADDRESSES) {
      const has = ({ prefix, except }: typeof outer) =>
        prefixContains(prefix, ip) && !except.some((hole) => prefixContains(hole, ip));
      assert.ok(!has(inner) || has(outer), `${ip}: ${JSON.stringify({ outer, inner })}`);
    }
  }
  assert.ok(contained > 500, String(contained));
});

const block = (prefix: string, ...except: string[]) => ({ kind: "block" as const, prefix, except });

test("blockContains() knows exceptions of both blocks", () => {
  const inner = block("10.0.0.0/24", "10.0.0.0/28");
  const cases = [
    [block("10.0.0.0/24"), inner, true],
    [inner, block("10.0.0.0/24"), false],
    [block("10.0.0.0/8", "10.0.0.0/30"), inner, true],
    [block("10.0.0.0/8", "10.0.0.0/27"), inner, false],
    [block("0.0.0.0/0"), block("::/0"), false],
    [block("10.0.0.0/8", "10.0.0.0/24"), block("10.0.0.0/25"), false],
  ] as const;
  for (const [outer, one, expected] of cases)
    assert.equal(blockContains(outer, one), expected, JSON.stringify([outer, one]));
});

const PORT_LIST: readonly PolicyPort[] = [
  { protocol: "TCP" },
  { protocol: "UDP" },
  { protocol: "TCP", port: 80 },
  { protocol: "TCP", port: 80, endPort: 80 },
  { protocol: "TCP", port: 80, endPort: 90 },
  { protocol: "TCP", port: 81, endPort: 90 },
  { protocol: "TCP", port: 70, endPort: 100 },
  { protocol: "TCP", port: "http" },
  { protocol: "UDP", port: "http" },
  { protocol: "TCP", port: "80" },
];

test("portContains() compares numbers with numbers and names with names, of one protocol", () => {
  const contains = PORT_LIST.map((outer) =>
    PORT_LIST.map((inner) => (portContains(outer, inner) ? "x" : ".")).join(""),
  );
  assert.deepEqual(contains, [
    "x.xxxxxx.x",
    ".x......x.",
    "..xx......",
    "..xx......",
    "..xxxx....",
    ".....x....",
    "..xxxxx...",
    ".......x..",
    "........x.",
    ".........x",
  ]);
});

test("lattices find whatever contains a value, as comparing each with each does", () => {
  const random = randomNumbers(9);
  for (let round = 0; round < 60; round++) {
    const selectors = Array.from({ length: 30 }, () => randomSelector(random)).map((each) =>
      readSelector(selectorText(each), each),
    );
    // What matches nothing is contained in everything; the lattice may leave that out.
    const some = selectors.filter(({ constraints }) => constraints !== undefined);
    const lattice = selectorLattice(some);
    for (const inner of some) {
      const expected = some.filter((outer) => constraintsContain(outer.constraints, inner.constraints));
      assert.deepEqual(
        [...lattice.containing(lattice.idOf(inner))].sort(),
        [...new Set(expected.map((each) => lattice.idOf(each)))].sort(),
        inner.text,
      );
    }
  }
  const blocks = [...BLOCKS, ...SIX].flatMap((prefix) => [block(prefix), block(prefix, "10.0.0.0/30")]);
  const ofBlocks = blockLattice(blocks);
  for (const inner of blocks) {
    const expected = blocks.filter((outer) => blockContains(outer, inner)).map((each) => ofBlocks.idOf(each));
    assert.deepEqual(
      [...ofBlocks.containing(ofBlocks.idOf(inner))].sort(),
      [...new Set(expected)].sort(),
      inner.prefix,
    );
  }
  const ofPorts = portLattice(PORT_LIST);
  for (const inner of PORT_LIST) {
    const expected = PORT_LIST.filter((outer) => portContains(outer, inner)).map((each) => ofPorts.idOf(each));
    assert.deepEqual(
      [...ofPorts.containing(ofPorts.idOf(inner))].sort(),
      [...new Set(expected)].sort(),
      portText(inner),
    );
  }
});
