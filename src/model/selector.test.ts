import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesSelector, type Requirement, selectorText, sortedSelector } from "./selector.ts";

const requirement = (operator: Requirement["operator"], ...values: string[]): Requirement => ({
  key: "app",
  operator,
  values,
});

const MATCHES: readonly (readonly [
  Requirement,
  { readonly web: boolean; readonly db: boolean; readonly none: boolean },
])[] = [
  [requirement("In", "web"), { web: true, db: false, none: false }],
  [requirement("In", "db", "web"), { web: true, db: true, none: false }],
  [requirement("NotIn", "web"), { web: false, db: true, none: true }],
  [requirement("Exists"), { web: true, db: true, none: false }],
  [requirement("DoesNotExist"), { web: false, db: false, none: true }],
];

for (const [each, expected] of MATCHES) {
  test(`matchesSelector() holds ${selectorText([each])} against a value, another one and no label`, () => {
    const found = {
      web: matchesSelector([each], { app: "web" }),
      db: matchesSelector([each], { app: "db" }),
      none: matchesSelector([each], { tier: "web" }),
    };
    assert.deepEqual(found, expected);
  });
}

test("matchesSelector() matches everything without requirements, and needs all of them", () => {
  assert.equal(matchesSelector([], {}), true);
  const both = [requirement("Exists"), { key: "tier", operator: "In", values: ["front"] } as const];
  assert.equal(matchesSelector(both, { app: "web", tier: "front" }), true);
  assert.equal(matchesSelector(both, { app: "web", tier: "back" }), false);
  assert.equal(matchesSelector(both, { tier: "front" }), false);
});

test("matchesSelector() knows a label with an empty value from no label", () => {
  assert.equal(matchesSelector([requirement("In", "")], { app: "" }), true);
  assert.equal(matchesSelector([requirement("In", "")], {}), false);
  assert.equal(matchesSelector([requirement("Exists")], { app: "" }), true);
});

test("matchesSelector() takes no label from what objects inherit", () => {
  const inherited: Requirement = { key: "toString", operator: "Exists", values: [] };
  assert.equal(matchesSelector([inherited], {}), false);
});

test("sortedSelector() makes equal selectors equal texts, whatever the order and the repetitions", () => {
  const one = sortedSelector([requirement("NotIn", "b", "a", "b"), { key: "a", operator: "Exists", values: [] }]);
  const other = sortedSelector([
    { key: "a", operator: "Exists", values: [] },
    requirement("NotIn", "a", "b"),
    requirement("NotIn", "b", "a"),
  ]);
  assert.deepEqual(one, other);
  assert.equal(selectorText(one), "a,app notin (a, b)");
});

test("selectorText() writes each operator as kubectl does", () => {
  const selector = MATCHES.map(([each]) => each);
  assert.equal(selectorText(selector), "app in (web),app in (db, web),app notin (web),app,!app");
  assert.equal(selectorText([]), "");
});
