import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../object/status.ts";
import { mapSelector, objectSelector, parseLabelSelector } from "./label-selector.ts";

const labels = { app: "web", tier: "front", "example.com/size": "3" };

const CASES: readonly (readonly [string, boolean])[] = [
  ["", true],
  ["app=web", true],
  ["app==web", true],
  ["app = web", true],
  ["app=db", false],
  ["app!=db", true],
  ["missing!=x", true],
  ["app", true],
  ["missing", false],
  ["!missing", true],
  ["!app", false],
  ["app in (web,db)", true],
  ["app in (db)", false],
  ["app notin (db, cache)", true],
  ["missing notin (a)", true],
  ["app in (web,db),tier=front,!missing", true],
  ["app in (web,db),tier=back", false],
  ["example.com/size>2", true],
  ["example.com/size<3", false],
  ["app>2", false],
  ["missing=", false],
];

for (const [text, selects] of CASES) {
  test(`parseLabelSelector() "${text}" ${selects ? "selects" : "does not select"}`, () => {
    assert.equal(parseLabelSelector(text)(labels), selects);
  });
}

for (const text of ["app=web=x", "in (a)", "app in a", ",", "a b", "app>x", "=x"]) {
  test(`parseLabelSelector() refuses "${text}"`, () => {
    assert.throws(
      () => parseLabelSelector(text),
      (error) => error instanceof StatusError && error.code === 400,
    );
  });
}

test("mapSelector() of an empty map selects nothing, as a Service without selector", () => {
  assert.equal(mapSelector({})(labels), false);
  assert.equal(mapSelector({ app: "web" })(labels), true);
});

const OBJECTS: readonly (readonly [unknown, boolean])[] = [
  [{}, true],
  [undefined, false],
  [{ matchLabels: { app: "web" } }, true],
  [{ matchLabels: { app: "web", tier: "back" } }, false],
  [{ matchExpressions: [{ key: "app", operator: "In", values: ["web"] }] }, true],
  [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] }, false],
  [{ matchExpressions: [{ key: "x", operator: "DoesNotExist" }] }, true],
  [{ matchExpressions: [{ key: "x", operator: "Exists" }] }, false],
  [{ matchExpressions: [{ key: "x", operator: "Frob" }] }, false],
];

for (const [selector, selects] of OBJECTS) {
  test(`objectSelector() ${JSON.stringify(selector)}`, () => {
    assert.equal(objectSelector(selector)(labels), selects);
  });
}
