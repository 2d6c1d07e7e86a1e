import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../object/status.ts";
import { parseFieldSelector } from "./field-selector.ts";

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a" },
  spec: { nodeName: "node1" },
  status: { phase: "Running" },
};
const FIELDS = ["metadata.name", "spec.nodeName", "status.phase", "spec.unschedulable", "spec.hostname"];

const CASES: readonly (readonly [string, boolean])[] = [
  ["", true],
  ["spec.nodeName=node1", true],
  ["spec.nodeName==node1,status.phase!=Failed", true],
  ["spec.nodeName!=node1", false],
  ["spec.hostname=", true],
  ["spec.unschedulable=false", true],
  ["metadata.name=b", false],
];

for (const [text, selects] of CASES) {
  test(`parseFieldSelector() "${text}"`, () => assert.equal(parseFieldSelector(text, FIELDS)(pod), selects));
}

for (const text of ["spec.image=x", "spec.nodeName", "=x"]) {
  test(`parseFieldSelector() refuses "${text}"`, () => {
    assert.throws(
      () => parseFieldSelector(text, FIELDS),
      (error) => error instanceof StatusError && error.code === 400,
    );
  });
}
