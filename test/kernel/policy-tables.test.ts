/** Tables of policies in the real kernel: it takes every step from one random cluster to the next, and holds what was planned. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffNft } from "../../src/diff/nft.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { POLICY_TABLES } from "../../src/model/marks.ts";
import type { ClusterPolicy, PolicyRule } from "../../src/model/policy.ts";
import { PolicyPlanner } from "../../src/plan/policies/planner.ts";
import { planPolicyTable } from "../../src/plan/policies/table.ts";
import { randomNumbers, randomRawCluster } from "../conformance/netpol/random-objects.ts";
import { inputOf } from "../conformance/netpol/traced-cluster.ts";
import { testNamespace } from "./namespaces.ts";

const STEPS = 150;

for (const family of [4, 6] as const) {
  test(`the kernel takes every step between tables of IPv${family}'s policies`, (t) => {
    const ns = testNamespace(t);
    using nft = ns.run(() => openNftables());
    const random = randomNumbers(family);
    const planner = new PolicyPlanner(family);
    let isolating = 0;
    for (let step = 0; step < STEPS; step++) {
      const { wanted, before } = planner.update(inputOf("node1", randomRawCluster(random)));
      const changes = diffNft(wanted, before);
      if (changes.length > 0) nft.commit(POLICY_TABLES[family], changes);
      const whole = planner.table();
      // What is in the kernel needs no further step.
      assert.deepEqual(diffNft(whole, nft.table(POLICY_TABLES[family])), [], `step ${step}`);
      if (whole.chains.length > 0) isolating++;
    }
    assert.ok(isolating > STEPS / 3, `${isolating} tables isolated anybody`);
  });
}

/** Generous: a second is usual. */
const SANE_MS = 30_000;

function rules(count: number, peer: (i: number) => string, port: (i: number) => number): PolicyRule[] {
  return Array.from({ length: count }, (_, i) => ({
    peers: [{ kind: "pods", pods: [{ key: "app", operator: "In", values: [peer(i)] }] }],
    ports: [{ protocol: "TCP", port: port(i) }],
  }));
}
const policy = (name: string, ingress: readonly PolicyRule[]): ClusterPolicy => ({
  ...{ namespace: "x", name, uid: name, pods: [], ingress },
});
const [own, one] = [(i: number) => `app-${i}`, () => "app"];
const LARGE: Readonly<Record<string, readonly ClusterPolicy[]>> = {
  "a policy of 10,000 rules about one port": [
    policy(
      "long",
      rules(10_000, own, () => 80),
    ),
  ],
  "a policy of 10,000 rules about one peer": [
    policy(
      "long",
      rules(10_000, one, (i) => 1 + i),
    ),
  ],
  // The kernel finds a set by walking along all of them: with peers of their own the time grows with the square of the rules.
  "a policy of 2,000 rules with peers and ports of their own": [
    policy(
      "long",
      rules(2000, own, (i) => 1 + i),
    ),
  ],
  "1,000 policies that select one pod": rules(1000, own, (i) => 1 + i).map((rule, i) => policy(`policy-${i}`, [rule])),
};
for (const [what, policies] of Object.entries(LARGE)) {
  test(`the kernel takes ${what}, and lets go again`, (t) => {
    const ns = testNamespace(t);
    using nft = ns.run(() => openNftables());
    const pod = { namespace: "x", name: "one", labels: {}, nodeName: "node1", ips: ["10.244.1.1"], ports: [] };
    const table = planPolicyTable({ nodeName: "node1", pods: [pod], policies, namespaces: new Map() }, 4);
    const started = performance.now();
    nft.commit(POLICY_TABLES[4], diffNft(table, undefined));
    const loaded = nft.table(POLICY_TABLES[4]);
    assert.deepEqual(diffNft(table, loaded), []);
    const few = planPolicyTable(
      {
        nodeName: "node1",
        pods: [pod],
        policies: policies.slice(0, 1).map((each) => ({ ...each, ingress: [] })),
        namespaces: new Map(),
      },
      4,
    );
    nft.commit(POLICY_TABLES[4], diffNft(few, loaded));
    assert.deepEqual(diffNft(few, nft.table(POLICY_TABLES[4])), []);
    assert.ok(performance.now() - started < SANE_MS);
  });
}
