/** Errors planted in what plans and enforces NetworkPolicies: each is noticed by the test that is named beside it. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { MutantTree, type Mutation, mutated, verdictOf } from "./mutant.ts";
import { enforcerMutations } from "./policy-enforcer-mutations.ts";
import { parserMutations } from "./policy-parser-mutations.ts";
import { plannerMutations } from "./policy-planner-mutations.ts";

const mutations: readonly Mutation[] = [...parserMutations, ...plannerMutations, ...enforcerMutations];
/** The machine has other tests to run. */
const AT_ONCE = 2;

const trees = Array.from({ length: AT_ONCE }, () => new MutantTree());
const free = [...trees];
after(() => {
  for (const tree of trees) tree[Symbol.dispose]();
});

async function inTree<T>(body: (tree: MutantTree) => Promise<T>): Promise<T> {
  const tree = free.pop();
  if (tree === undefined) throw new RangeError("More tests run at once than there are trees");
  try {
    return await body(tree);
  } finally {
    free.push(tree);
  }
}

describe("planted errors", { concurrency: AT_ONCE }, () => {
  for (const mutation of mutations) {
    const [file, name] = mutation.test;
    test(`${mutation.what}: ${file} notices`, async () => {
      assert.equal(await inTree((tree) => tree.run(mutation)), "failed", `"${name}" has to fail`);
    });
  }
});

describe("without them the same tests pass", { concurrency: AT_ONCE }, () => {
  const byFile = Map.groupBy(mutations, ({ test: [file] }) => file);
  for (const [file, those] of byFile) {
    const names = [...new Set(those.map(({ test: [, name] }) => name))];
    test(file, async () => {
      const tap = await inTree((tree) => tree.tap(file, names));
      for (const name of names) assert.equal(verdictOf(tap, name), "passed", name);
    });
  }
});

test("there are enough of them, in every part", () => {
  assert.ok(mutations.length >= 25, `${mutations.length} mutations`);
  assert.equal(new Set(mutations.map(({ what }) => what)).size, mutations.length, "each has words of its own");
  for (const part of [
    "parse-network-policy",
    "parse-selector",
    "model/selector",
    "chains",
    "admissions",
    "peer-sets",
  ]) {
    assert.ok(
      mutations.some(({ file }) => file.includes(part)),
      `one in ${part}`,
    );
  }
});

test("a text that is no longer there, or that stands there twice, is an error", () => {
  const [mutation] = mutations;
  assert.ok(mutation);
  for (const text of ["", mutation.find.repeat(2)]) assert.throws(() => mutated(text, mutation), RangeError);
});

test("a test that did not run, or another one's failure, is not taken for a failure", () => {
  assert.equal(verdictOf("not ok 1 - another\n", "one"), "did not run");
  assert.equal(verdictOf("    not ok 1 - one\nok 2 - one\n", "one"), "failed");
  assert.equal(verdictOf("ok 1 - a \\# sign # time=2\n", "a # sign"), "passed");
});
