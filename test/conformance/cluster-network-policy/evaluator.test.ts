/** The parser, the planner and the packet tracer against the evaluator of all tiers: random clusters, wellformed and not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection, RawCluster } from "../netpol/evaluator.ts";
import { randomConnection, randomNumbers } from "../netpol/random-objects.ts";
import { TracedCluster } from "../netpol/traced-cluster.ts";
import { evaluate } from "./evaluator.ts";
import { randomTieredCluster } from "./random-objects.ts";

const CLUSTERS = 1000;
const CONNECTIONS = 40;

function differs(cluster: RawCluster, connection: Connection): boolean {
  return new TracedCluster(cluster).isAllowed(connection) !== evaluate(cluster, connection).allowed;
}

/** The same without everything that does not matter: what is left is a case that can be read. */
function smallest(cluster: RawCluster, connection: Connection): RawCluster {
  let least = cluster;
  for (const list of ["clusterPolicies", "policies", "pods"] as const) {
    for (const each of cluster[list] ?? []) {
      const without = { ...least, [list]: (least[list] ?? []).filter((other) => other !== each) };
      if (differs(without, connection)) least = without;
    }
  }
  return least;
}

test(`parser, planner and tracer let pass what the evaluator of all tiers does, in ${CLUSTERS} random clusters`, () => {
  const random = randomNumbers(1337);
  const counts: Record<string, number> = {};
  for (let round = 0; round < CLUSTERS; round++) {
    const cluster = randomTieredCluster(random);
    const traced = new TracedCluster(cluster);
    for (let i = 0; i < CONNECTIONS; i++) {
      const connection = randomConnection(random, cluster);
      const { allowed, by } = evaluate(cluster, connection);
      const kind = `${by.find((decider) => decider !== "nobody") ?? "nobody"} ${allowed ? "allows" : "denies"}`;
      counts[kind] = (counts[kind] ?? 0) + 1;
      if (traced.isAllowed(connection) === allowed) continue;
      const what = { connection, allowed, ...smallest(cluster, connection) };
      assert.fail(`cluster ${round}: ${JSON.stringify(what, undefined, 1)}`);
    }
  }
  // Of each kind enough to mean something: by the end that anything speaks of, the sender's before the other one's.
  for (const tier of ["Admin", "NetworkPolicy", "Baseline"]) {
    for (const outcome of ["allows", "denies"]) {
      assert.ok((counts[`${tier} ${outcome}`] ?? 0) > 400, JSON.stringify(counts));
    }
  }
});
