import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatNftTable } from "../../model/nft.ts";
import { planServiceSets } from "./table.ts";
import { serviceScenarios } from "./testing/scenarios.ts";
import { ServiceCluster } from "./testing/service-cluster.ts";

/** Golden files: run with UPDATE_GOLDEN=1 to write them, and read the difference before it is committed. */
const folder = join(import.meta.dirname, "testdata");

for (const [name, given] of Object.entries(serviceScenarios)) {
  test(`planServiceTable() plans ${name}`, () => {
    const file = join(folder, `${name}.txt`);
    // The first table is not of Services; the one of IPv6 says something only where it is used.
    const [, four, six] = new ServiceCluster(given).tables("node1");
    const usesIpv6 = given.services.some(({ clusterIps }) => clusterIps.some((ip) => ip.includes(":")));
    const text = [four, ...(usesIpv6 ? [six] : [])].map((table) => table && formatNftTable(table)).join("\n");
    if (process.env["UPDATE_GOLDEN"] === "1") fs.writeFileSync(file, text);
    assert.equal(text, fs.readFileSync(file, "utf8"));
  });
}

test("every golden file of Services has its scenario", () => {
  const files = fs.readdirSync(folder).map((file) => file.replace(/\.txt$/, ""));
  assert.deepEqual(files.sort(), Object.keys(serviceScenarios).sort());
});

test("planServiceTable() uses the sets that planServiceSets() names, each sorted and without anything twice", () => {
  for (const given of Object.values(serviceScenarios)) {
    const [, four] = new ServiceCluster(given).tables("node1");
    const empty = planServiceSets(4, given.config?.counters ?? false);
    assert.deepEqual(
      four?.sets.map((set) => ({ ...set, elements: [] })),
      empty,
    );
    for (const { elements } of four?.sets ?? []) assert.deepEqual(elements, [...new Set(elements)].sort());
  }
});
