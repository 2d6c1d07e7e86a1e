/** House rules that a test can hold: headers, sizes, words, documents that point at what exists. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ERROR_CODES } from "../../src/model/error-codes.ts";

const sources = globSync("src/**/*.ts").filter((file) => !file.endsWith(".test.ts"));
const tracked = execFileSync("git", ["ls-files"], { encoding: "utf8" }).trim().split("\n");

test("every source file begins with a comment that says what it is for", () => {
  const without = sources.filter((file) => !readFileSync(file, "utf8").startsWith("/**"));
  assert.deepEqual(without, []);
});

test("no source file is longer than 400 lines, and no test", () => {
  const files = globSync(["src/**/*.ts", "test/**/*.ts", "tools/**/*.ts"]);
  const long = files.filter((file) => readFileSync(file, "utf8").split("\n").length > 401);
  assert.deepEqual(long, []);
});

test("nothing is left to be done in comments", () => {
  assert.deepEqual(
    sources.filter((file) => /\b(TODO|FIXME|XXX|HACK)\b/.test(readFileSync(file, "utf8"))),
    [],
  );
});

test("no test is switched off without a reason, and none runs alone", () => {
  const tests = globSync(["src/**/*.test.ts", "test/**/*.test.ts"]).filter(
    (file) => !file.startsWith("test/repository/"),
  );
  const off = /\b(?:test|it|describe)\.(?:skip|only|todo)\(|\bskip: true\b/;
  assert.deepEqual(
    tests.filter((file) => off.test(readFileSync(file, "utf8"))),
    [],
  );
});

test("the lock file holds no download addresses", () => {
  assert.doesNotMatch(readFileSync("package-lock.json", "utf8"), /"resolved"|https?:\/\/[^"]*\.tgz/);
});

test("dependencies are pinned to one version", () => {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
    assert.match(String(version), /^\d+\.\d+\.\d+$/, `${name} is pinned`);
  }
});

test("every dependency has its reason in docs/adr", () => {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const reasons = globSync("docs/adr/*.md")
    .map((file) => readFileSync(file, "utf8"))
    .join("\n");
  for (const name of Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
    assert.ok(reasons.includes(`\`${name}\``), `docs/adr says why ${name} is here`);
  }
});

test("every error code is in the table of codes, and every code of the table is raised", () => {
  const raised = new Set<string>();
  for (const file of sources.filter((name) => !/fake|fixture|testing|error-codes/.test(name))) {
    for (const [, code = ""] of readFileSync(file, "utf8").matchAll(/"(BW_[A-Z0-9_]+)"/g)) raised.add(code);
  }
  assert.deepEqual([...raised].sort(), Object.keys(ERROR_CODES).sort());
});

test("links between documents lead to files", () => {
  const broken: string[] = [];
  for (const file of tracked.filter((name) => name.endsWith(".md"))) {
    for (const [, target = ""] of readFileSync(file, "utf8").matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      if (!existsSync(join(dirname(file), target))) broken.push(`${file} -> ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});
