/** The planner that follows: whatever it was shown before, it plans what a new one plans, and its steps lead there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffNft } from "../../diff/nft.ts";
import { tableBehind } from "../../diff/nft-outcome.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import { formatNftTable, type NftTable } from "../../model/nft.ts";
import { type NftChange, type ObservedTable, ruleFingerprint } from "../../model/nft-changes.ts";
import type { ClusterPolicy, PolicyPod } from "../../model/policy.ts";
import { type Random, randomNumbers } from "../services/testing/random-services.ts";
import { PolicyPlanner } from "./planner.ts";
import type { PolicyInput } from "./policy-input.ts";
import { planPolicyTable } from "./table.ts";
import { NODES, randomPolicyInput, randomTieredInput } from "./testing/random-policies.ts";

const ROUNDS = 60;
const STEPS = 12;

/** What a list of the table says, in an order of its own. */
function listed(table: NftTable): ObservedTable | undefined {
  if (table.chains.length === 0) return undefined;
  return normal({
    ...{ family: table.family, name: table.name },
    sets: table.sets.map(({ comment: _, ...set }) => set),
    chains: table.chains.map(({ name, base, rules }) => ({
      ...{ name, ...(base === undefined ? {} : { base }) },
      fingerprints: rules.map(ruleFingerprint),
    })),
  });
}

function normal(table: ObservedTable): ObservedTable {
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  return { ...table, sets: [...table.sets].sort(byName), chains: [...table.chains].sort(byName) };
}

/** Something of the cluster changes: objects that stay are the same objects. */
function changed(random: Random, input: PolicyInput): PolicyInput {
  const other = randomTieredInput(random);
  const exchange = <T>(values: readonly T[], others: readonly T[]): T[] =>
    values.map((value, i) => (random(4) === 0 ? (others[i] ?? value) : value));
  switch (random(9)) {
    case 0:
      return { ...input, policies: other.policies };
    case 1:
      return { ...input, policies: exchange<ClusterPolicy>(input.policies, other.policies) };
    case 2:
      return { ...input, namespaces: other.namespaces };
    case 3:
      return { ...input, pods: input.pods.filter(() => random(3) > 0) };
    case 4:
      return { ...input, pods: other.pods };
    case 5:
      return { ...input, clusterNetworkPolicies: other.clusterNetworkPolicies };
    case 6: {
      const policies = exchange(input.clusterNetworkPolicies ?? [], other.clusterNetworkPolicies ?? []);
      return { ...input, clusterNetworkPolicies: policies };
    }
    case 7:
      return { ...input, nodes: new Map(NODES.slice(random(3)).map((node) => [node.name, node])) };
    default:
      return { ...input, pods: exchange<PolicyPod>(input.pods, other.pods) };
  }
}

for (const family of [4, 6] as const) {
  test(`PolicyPlanner plans what a new one plans, and its steps lead there (IPv${family})`, () => {
    const random = randomNumbers(17 + family);
    for (let round = 0; round < ROUNDS; round++) {
      const planner = new PolicyPlanner(family);
      let [input, kernel] = [randomPolicyInput(random), undefined as ObservedTable | undefined];
      for (let step = 0; step < STEPS; step++) {
        kernel = tableBehind(POLICY_TABLES[family], kernel, steps(planner, input));
        const fresh = planPolicyTable(input, family);
        assert.equal(formatNftTable(planner.table()), formatNftTable(fresh), `round ${round}, step ${step}`);
        assert.deepEqual(kernel && normal(kernel), listed(fresh), `round ${round}, step ${step}`);
        // What changes together is one step.
        for (let left = 1 + random(3); left > 0; left--) input = changed(random, input);
      }
    }
  });
}

function steps(planner: PolicyPlanner, input: PolicyInput): readonly NftChange[] {
  const { wanted, before } = planner.update(input);
  return diffNft(wanted, before);
}

/** A cluster of many pods of which each second one is meant. */
function largeInput(pods: number): PolicyInput {
  const pod = (i: number): PolicyPod => ({
    ...{ namespace: "x", name: `pod${i}`, labels: { app: i % 2 === 0 ? "web" : "db" }, ports: [] },
    ...{ nodeName: `node${1 + (i % 100)}`, ips: [`10.244.${1 + (i % 100)}.${1 + Math.floor(i / 100)}`] },
  });
  const web = [{ key: "app", operator: "In" as const, values: ["web"] }];
  return {
    nodeName: "node1",
    pods: Array.from({ length: pods }, (_, i) => pod(i)),
    namespaces: new Map([["x", {}]]),
    policies: [
      { namespace: "x", name: "web", uid: "1", pods: [], ingress: [{ peers: [{ kind: "pods", pods: web }] }] },
      { namespace: "x", name: "out", uid: "2", pods: web, egress: [{ peers: [{ kind: "pods", pods: web }] }] },
    ],
  };
}

test("PolicyPlanner: nothing that changed is no step, a remote pod's labels are one element of a set", () => {
  const planner = new PolicyPlanner(4);
  const input = largeInput(1000);
  steps(planner, input);
  assert.deepEqual(steps(planner, { ...input, pods: [...input.pods] }), []);
  const [moved] = input.pods.slice(501);
  const pods = input.pods.map((pod) => (pod === moved ? { ...pod, labels: { app: "web" } } : pod));
  const changes = steps(planner, { ...input, pods });
  assert.deepEqual(
    changes.map((change) => (change.do === "addElements" ? change.elements : change.do)),
    [["10.244.2.6"]],
  );
});

test("PolicyPlanner: a pod of this node that changes its labels moves to other chains, and no set is filled anew", () => {
  const planner = new PolicyPlanner(4);
  const input = largeInput(1000);
  steps(planner, input);
  const [local] = input.pods;
  const pods = input.pods.map((pod) => (pod === local ? { ...pod, labels: { app: "db" } } : pod));
  const changes = steps(planner, { ...input, pods });
  const elements = changes.flatMap((change) => ("elements" in change ? change.elements : []));
  assert.ok(elements.length > 0 && elements.every((element) => element.startsWith("10.244.1.1")), elements.join("\n"));
  assert.ok(elements.length <= 5, elements.join("\n"));
});

test("PolicyPlanner: a table that isolates nobody any more goes as a whole, and comes back as a whole", () => {
  const planner = new PolicyPlanner(4);
  const input = largeInput(20);
  const whole = steps(planner, input).length;
  assert.deepEqual(steps(planner, { ...input, policies: [] }), [{ do: "deleteTable" }]);
  assert.deepEqual(steps(planner, { ...input, policies: [] }), []);
  assert.equal(steps(planner, input).length, whole);
});

test("PolicyPlanner says whose policies each chain that drops stands for", () => {
  const planner = new PolicyPlanner(4);
  planner.update(largeInput(20));
  const found = [...planner.denials].map(([chain, policies]) => [chain.replace(/-[0-9a-f]{10}$/, ""), ...policies]);
  assert.deepEqual(found.sort(), [
    ["egress-denied", "x/out"],
    ["ingress-denied", "x/web"],
  ]);
});
