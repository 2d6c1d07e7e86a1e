import assert from "node:assert/strict";
import { test } from "node:test";
import { isOlderVersion } from "./version.ts";

const CASES: readonly (readonly [string, string, boolean])[] = [
  ["9", "10", true],
  ["10", "9", false],
  ["10", "10", false],
  ["9007199254740993", "9007199254740994", true],
  ["18446744073709551614", "18446744073709551615", true],
  ["", "10", false],
  ["0", "10", false],
  ["abc", "abd", false],
  ["10", "x", false],
];

for (const [a, b, older] of CASES) {
  test(`isOlderVersion("${a}", "${b}") is ${older}`, () => assert.equal(isOlderVersion(a, b), older));
}
