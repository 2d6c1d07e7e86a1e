/** Tables with ClusterNetworkPolicies in the real kernel: every step from one random cluster to the next, and many policies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffNft } from "../../src/diff/nft.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import type { ClusterNetworkPolicy, TierRule } from "../../src/model/cluster-network-policy.ts";
import { POLICY_TABLES } from "../../src/model/marks.ts";
import { PolicyPlanner } from "../../src/plan/policies/planner.ts";
import { planPolicyTable } from "../../src/plan/policies/table.ts";
import { randomTieredCluster } from "../conformance/cluster-network-policy/random-objects.ts";
import { randomNumbers } from "../conformance/netpol/random-objects.ts";
import { inputOf } from "../conformance/netpol/traced-cluster.ts";
import { testNamespace } from "./namespaces.ts";

const STEPS = 150;

for (const family of [4, 6] as const) {
  test(`the kernel takes every step between tables of IPv${family}'s policies of all tiers`, (t) => {
    const ns = testNamespace(t);
    using nft = ns.run(() => openNftables());
    const random = randomNumbers(40 + family);
    const planner = new PolicyPlanner(family);
    let tiers = 0;
    for (let step = 0; step < STEPS; step++) {
      const { wanted, before } = planner.update(inputOf("node1", randomTieredCluster(random)));
      const changes = diffNft(wanted, before);
      if (changes.length > 0) nft.commit(POLICY_TABLES[family], changes);
      const whole = planner.table();
      // What is in the kernel needs no further step.
      assert.deepEqual(diffNft(whole, nft.table(POLICY_TABLES[family])), [], `step ${step}`);
      if (whole.chains.some(({ name }) => /-(admin|baseline)-/.test(name))) tiers++;
    }
    assert.ok(tiers > STEPS / 3, `${tiers} tables had tiers`);
  });
}

/** Of a policy's rules, a rule's peers and a rule's ports the API allows so many. */
const MOST = 25;
const POLICIES = 20;
/** Generous: a second is usual. */
const SANE_MS = 30_000;

test(`the kernel takes ${POLICIES} policies as large as the API allows, and lets go again`, (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  const each = <T>(make: (i: number) => T): T[] => Array.from({ length: MOST }, (_, i) => make(i));
  const app = (value: string) => [{ key: "app", operator: "In" as const, values: [value] }];
  const rule = (policy: number, number: number): TierRule => ({
    name: "试".repeat(100),
    action: "Deny",
    peers: each((i) => ({ kind: "pods", namespaces: [], pods: app(`${policy} ${number} ${i}`) })),
    ports: each((i) => ({ protocol: "TCP", port: 1 + 1000 * number + 10 * i, endPort: 6 + 1000 * number + 10 * i })),
  });
  const policies = Array.from({ length: POLICIES }, (_, n): ClusterNetworkPolicy => {
    const head = { name: `policy-${n}`, uid: String(n), generation: 1, tier: "Admin", priority: n } as const;
    return { ...head, subject: { namespaces: [], pods: [] }, ingress: each((i) => rule(n, i)), egress: [] };
  });
  const pod = { namespace: "x", name: "one", labels: {}, nodeName: "node1", ips: ["10.244.1.1"], ports: [] };
  const input = { nodeName: "node1", pods: [pod], policies: [], namespaces: new Map([["x", {}]]) };
  const table = planPolicyTable({ ...input, clusterNetworkPolicies: policies }, 4);
  const started = performance.now();
  nft.commit(POLICY_TABLES[4], diffNft(table, undefined));
  const loaded = nft.table(POLICY_TABLES[4]);
  assert.deepEqual(diffNft(table, loaded), []);
  const few = planPolicyTable({ ...input, clusterNetworkPolicies: policies.slice(0, 1) }, 4);
  nft.commit(POLICY_TABLES[4], diffNft(few, loaded));
  assert.deepEqual(diffNft(few, nft.table(POLICY_TABLES[4])), []);
  assert.ok(performance.now() - started < SANE_MS);
});
