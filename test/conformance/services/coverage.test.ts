/**
 * Every row of behaviours.json, what the e2e suites of Kubernetes ask of a Service proxy, is carried by a test whose name
 * begins with its id. What a ruleset or the agent alone can show has a test beside its source; the rest only the lab has.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

/** With the reason why no ruleset shows it. */
const ONLY_IN_THE_LAB: Readonly<Record<string, string>> = {
  "svc-15": "an API server that restarts",
  "svc-55": "packets larger than the path's MTU, on real devices",
  "svc-62": "host ports are the scheduler's and the container runtime's",
  "svc-63": "modules of the kernel",
  "svc-64": "a kubelet that probes",
};

interface Behaviour {
  readonly id: string;
  readonly title: string;
}

const { behaviours } = JSON.parse(readFileSync(join(import.meta.dirname, "behaviours.json"), "utf8")) as {
  behaviours: Behaviour[];
};

/** Ids with which names of tests in these files begin. */
function idsIn(patterns: readonly string[]): Set<string> {
  const ids = new Set<string>();
  for (const file of globSync([...patterns])) {
    for (const [, id = ""] of readFileSync(file, "utf8").matchAll(/["'`](svc-\d\d)[ "'`]/g)) ids.add(id);
  }
  return ids;
}

const missing = (ids: ReadonlySet<string>, wanted: readonly string[]) => wanted.filter((id) => !ids.has(id));

test("behaviours.json holds 65 rows, each id once", () => {
  assert.equal(behaviours.length, 65);
  assert.equal(new Set(behaviours.map(({ id }) => id)).size, 65);
  for (const { id } of behaviours) assert.match(id, /^svc-\d\d$/);
});

test("every row that needs no lab is carried by a test beside its source", () => {
  const wanted = behaviours.map(({ id }) => id).filter((id) => ONLY_IN_THE_LAB[id] === undefined);
  assert.deepEqual(missing(idsIn(["src/**/*.test.ts"]), wanted), []);
});

test("every row that only the lab shows is carried by a test there", () => {
  assert.deepEqual(missing(idsIn(["test/e2e/services-*.test.ts"]), Object.keys(ONLY_IN_THE_LAB)), []);
});

test("tests name no row that does not exist", () => {
  const known = new Set(behaviours.map(({ id }) => id));
  const named = idsIn(["src/**/*.test.ts", "test/**/*.test.ts"]);
  assert.deepEqual(
    [...named].filter((id) => !known.has(id)),
    [],
  );
});
