import assert from "node:assert/strict";
import { test } from "node:test";
import { kernelIsAtLeast, parseKernelVersion } from "./kernel-version.ts";

test("parseKernelVersion() reads what distributions make of it", () => {
  assert.deepEqual(parseKernelVersion("6.1.0-56-amd64"), [6, 1, 0]);
  assert.deepEqual(parseKernelVersion("5.15+"), [5, 15, 0]);
  assert.deepEqual(parseKernelVersion("4.18.0-553.el8.x86_64"), [4, 18, 0]);
  assert.throws(() => parseKernelVersion("linux"), SyntaxError);
});

test("kernelIsAtLeast() compares numbers, not text", () => {
  const cases: [string, string, boolean][] = [
    ["4.19.0", "4.19", true],
    ["4.18.20", "4.19", false],
    ["4.9.0", "4.19", false],
    ["5.0.0-rc1", "4.19", true],
    ["6.1.0", "6.1.5", false],
  ];
  for (const [release, least, is] of cases) assert.equal(kernelIsAtLeast(release, least), is, `${release} >= ${least}`);
});
