/**
 * `breakwater policy explain` of clusters as users write them, beside the evaluators that are written from the API's text: its
 * verdicts are theirs, and what it suggests of a denial admits it, and is needed, in their eyes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readCluster } from "../../../src/cli/policy-cluster.ts";
import { findSource, findTarget } from "../../../src/cli/policy-parties.ts";
import type { JsonObject } from "../../../src/kube/json.ts";
import type { ListWatchClient } from "../../../src/kube/lister.ts";
import { type Explanation, explain } from "../../../src/plan/policies/explain.ts";
import type { PolicyObject } from "../../../src/plan/policies/explain-suggestion.ts";
import { evaluate } from "../cluster-network-policy/evaluator.ts";
import { randomTieredCluster } from "../cluster-network-policy/random-objects.ts";
import type { Connection, Raw, RawCluster } from "./evaluator.ts";
import { randomConnection, randomNumbers, randomRawCluster } from "./random-objects.ts";
import { fieldsOf } from "./raw-fields.ts";

/** An API server that has these objects, and nothing to watch. */
function clientOf(cluster: RawCluster): ListWatchClient {
  const nodes = Object.entries(cluster.nodes).map(([name, ips]) => ({
    metadata: { name, ...labelsOfNode(cluster, name) },
    status: { addresses: ips.map((address) => ({ type: "InternalIP", address })) },
  }));
  const objects: Readonly<Record<string, readonly Raw[]>> = {
    ...{ namespaces: cluster.namespaces, pods: cluster.pods, networkpolicies: cluster.policies, nodes },
    clusternetworkpolicies: cluster.clusterPolicies ?? [],
  };
  return {
    listPage: async ({ plural }, _options, onItem) => {
      for (const object of objects[plural] ?? []) onItem(object as JsonObject);
      return { resourceVersion: "1", continueToken: undefined };
    },
    watch: () => assert.fail("nothing is watched"),
  };
}

function labelsOfNode({ nodeObjects = [] }: RawCluster, name: string): Raw {
  const found = nodeObjects.map(({ metadata }) => fieldsOf(metadata)).find((metadata) => metadata["name"] === name);
  return { labels: found?.["labels"] ?? {} };
}

async function explained(
  cluster: RawCluster,
  { source, destination, protocol, port }: Connection,
): Promise<Explanation> {
  const known = await readCluster(clientOf(cluster), { "cluster-network-policies": true });
  const noServices = () => Promise.resolve({ services: [], slices: [] });
  const from = await findSource({ kind: "ip", ip: source }, known, noServices);
  const target = { who: { kind: "ip", ip: destination }, port: String(port), protocol } as const;
  const to = await findTarget(target, known, noServices);
  return explain({ from: from.party, to: to.party, protocol, port }, known);
}

function withPolicies(cluster: RawCluster, objects: readonly PolicyObject[]): RawCluster {
  const of = (kind: PolicyObject["kind"]) => objects.filter((each) => each.kind === kind) as unknown as Raw[];
  return {
    ...cluster,
    policies: [...cluster.policies, ...of("NetworkPolicy")],
    clusterPolicies: [...(cluster.clusterPolicies ?? []), ...of("ClusterNetworkPolicy")],
  };
}

for (const [what, make, rounds] of [
  ["NetworkPolicies", randomRawCluster, 500],
  ["policies of all tiers", randomTieredCluster, 700],
] as const) {
  test(`explain() says of random ${what} what the evaluator says, and suggests what it admits`, async () => {
    const random = randomNumbers(77);
    const counts = { allowed: 0, denied: 0, suggested: 0 };
    for (let round = 0; round < rounds; round++) {
      const cluster = make(random);
      for (let i = 0; i < 4; i++) {
        const connection = randomConnection(random, cluster);
        const { admitted, suggestions, advice, ways } = await explained(cluster, connection);
        const told = () => JSON.stringify({ round, connection, ways, suggestions, advice, cluster });
        const { allowed, by } = evaluate(cluster, connection);
        assert.equal(admitted, allowed, told());
        assert.deepEqual([ways[0]?.egress.tier ?? "nobody", ways[0]?.ingress.tier ?? "nobody"], by, told());
        counts[allowed ? "allowed" : "denied"]++;
        if (allowed || advice.length > 0) continue;
        counts.suggested++;
        const objects = suggestions.map(({ policy }) => policy);
        assert.ok(evaluate(withPolicies(cluster, objects), connection).allowed, told());
        for (const left of objects) {
          const others = objects.filter((object) => object !== left);
          assert.ok(!evaluate(withPolicies(cluster, others), connection).allowed, told());
        }
      }
    }
    assert.ok(counts.allowed > 300 && counts.denied > 200 && counts.suggested > 200, JSON.stringify(counts));
  });
}
