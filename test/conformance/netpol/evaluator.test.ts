/**
 * The parser, the planner and the packet tracer against the evaluator that was written from the API's text alone: first it
 * has to know the 65 cases, then thousands of random clusters have to come out the same by both.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CaseAction, clusterOf, connectionsOf, type PolicyCase, policyCases } from "./cases.ts";
import { type Connection, isAllowed, isIsolated, type Raw, type RawCluster } from "./evaluator.ts";
import { randomConnection, randomNumbers, randomRawCluster } from "./random-objects.ts";
import { TracedCluster } from "./traced-cluster.ts";

/** A case's cluster as objects of the API, changed step by step. */
class RawCase {
  readonly #namespaces: Map<string, Raw>;
  readonly #pods: Map<string, Raw & { readonly metadata: object; readonly status: { readonly podIP?: string } }>;
  readonly #policies = new Map<string, Raw>();

  constructor(theCase: PolicyCase) {
    const { namespaces, pods } = clusterOf(theCase);
    this.#namespaces = new Map(namespaces.map((metadata) => [metadata.name, { metadata }]));
    this.#pods = new Map(
      pods.map(({ namespace, name, labels, node, ips, ports }) => {
        const containers = [
          { ports: ports.map(({ name, port, protocol }) => ({ name, containerPort: port, protocol })) },
        ];
        const status = { podIP: ips[0] ?? "" };
        return [
          `${namespace}/${name}`,
          { metadata: { namespace, name, labels }, spec: { nodeName: node, containers }, status },
        ];
      }),
    );
  }

  apply(action: CaseAction): void {
    if (action.op === "applyPolicy") {
      const { namespace, name } = action.policy["metadata"] as { namespace: string; name: string };
      this.#policies.set(`${namespace}/${name}`, action.policy);
    } else if (action.op === "deletePolicy") this.#policies.delete(`${action.namespace}/${action.name}`);
    else if (action.op === "setNamespaceLabels") {
      const { namespace, labels } = action;
      this.#namespaces.set(namespace, { metadata: { name: namespace, labels } });
    } else {
      const { namespace, name, labels } = action;
      const pod = this.#pods.get(`${namespace}/${name}`);
      assert.ok(pod, `${namespace}/${name}`);
      this.#pods.set(`${namespace}/${name}`, { ...pod, metadata: { namespace, name, labels } });
    }
  }

  cluster(): RawCluster {
    const [namespaces, pods, policies] = [this.#namespaces, this.#pods, this.#policies].map((map) => [...map.values()]);
    return { namespaces: namespaces ?? [], pods: pods ?? [], policies: policies ?? [], nodes: {} };
  }

  /** A pod's address; what is no pod is an address. */
  ipOf(end: string): string {
    return this.#pods.get(end)?.status.podIP ?? end;
  }
}

for (const theCase of policyCases) {
  test(`the evaluator agrees with ${theCase.id} ${theCase.title}`, () => {
    const raw = new RawCase(theCase);
    for (const [step, { actions, probes }] of theCase.steps.entries()) {
      for (const action of actions) raw.apply(action);
      for (const probe of probes) {
        for (const { from, to, allowed } of connectionsOf(probe)) {
          const connection = { source: raw.ipOf(from), destination: raw.ipOf(to), ...probe };
          const what = `step ${step + 1}: ${from} -> ${to} ${probe.protocol} ${probe.port}`;
          assert.equal(isAllowed(raw.cluster(), connection), allowed, what);
        }
      }
    }
  });
}

const CLUSTERS = 2000;
const CONNECTIONS = 40;

function differs(cluster: RawCluster, connection: Connection): boolean {
  return new TracedCluster(cluster).isAllowed(connection) !== isAllowed(cluster, connection);
}

/** The same without everything that does not matter: what is left is a case that can be read. */
function smallest(cluster: RawCluster, connection: Connection): RawCluster {
  let least = cluster;
  for (const list of ["policies", "pods"] as const) {
    for (const each of cluster[list]) {
      const without = { ...least, [list]: least[list].filter((other) => other !== each) };
      if (differs(without, connection)) least = without;
    }
  }
  return least;
}

test(`parser, planner and tracer let pass what the evaluator does, in ${CLUSTERS} random clusters`, () => {
  const random = randomNumbers(2026);
  const counts = { open: 0, allowed: 0, denied: 0 };
  for (let round = 0; round < CLUSTERS; round++) {
    const cluster = randomRawCluster(random);
    const traced = new TracedCluster(cluster);
    for (let i = 0; i < CONNECTIONS; i++) {
      const connection = randomConnection(random, cluster);
      const isolated = isIsolated(cluster, connection);
      const expected = isAllowed(cluster, connection);
      counts[!expected ? "denied" : isolated ? "allowed" : "open"]++;
      if (traced.isAllowed(connection) === expected) continue;
      const what = { connection, expected, ...smallest(cluster, connection) };
      assert.fail(`cluster ${round}: ${JSON.stringify(what, undefined, 1)}`);
    }
  }
  // Of each kind enough to mean something: nobody isolates an end, a rule admits it, none does.
  for (const [kind, count] of Object.entries(counts)) assert.ok(count > 5000, `${kind}: ${JSON.stringify(counts)}`);
});
