/** Chains of ClusterNetworkPolicies: what they look like, who shares them, and what others do not notice of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNetworkPolicy, TierRule } from "../../model/cluster-network-policy.ts";
import { formatNftTable, type NftTable } from "../../model/nft.ts";
import type { ClusterPolicy, PolicyPod } from "../../model/policy.ts";
import { PolicyPlanner } from "./planner.ts";
import type { PolicyInput } from "./policy-input.ts";
import { planPolicyTable } from "./table.ts";

const namespaces = new Map(["a", "b"].map((name) => [name, { name }]));
const inNamespace = (name: string) => [{ key: "name", operator: "In" as const, values: [name] }];
const podsOf = (name: string) => ({ kind: "pods" as const, namespaces: inNamespace(name), pods: [] });

const pod = (namespace: string, name: string, ip: string, more: Partial<PolicyPod> = {}): PolicyPod => ({
  ...{ namespace, name, labels: {}, nodeName: "node1", ips: [ip], ports: [] },
  ...more,
});
const one = pod("a", "one", "10.244.1.1");
const two = pod("a", "two", "10.244.1.2");
const other = pod("b", "other", "10.244.1.3");

function policy(name: string, fields: Partial<ClusterNetworkPolicy>): ClusterNetworkPolicy {
  const head = { name, uid: name, generation: 1, tier: "Admin", priority: 1 } as const;
  return { ...head, subject: { namespaces: [], pods: [] }, ingress: [], egress: [], ...fields };
}

function inputOf(clusterNetworkPolicies: ClusterNetworkPolicy[], policies: ClusterPolicy[] = []): PolicyInput {
  return { nodeName: "node1", pods: [one, two, other], namespaces, policies, clusterNetworkPolicies };
}

const rule = (fields: Partial<TierRule>): TierRule => ({ name: "", action: "Deny", ...fields });
const allow: ClusterPolicy = { namespace: "a", name: "allow", uid: "allow", pods: [], ingress: [{}] };

/** Rules of a chain, as nft writes them. */
function rulesOf(table: NftTable, chain: RegExp): string[] {
  const [, body = ""] = new RegExp(`chain ${chain.source} \\{\\n([^}]*)\\}`).exec(formatNftTable(table)) ?? [];
  return body.split("\n").flatMap((line) => (line.trim() === "" ? [] : [line.trim().replace(/-[0-9a-f]{10}/g, "-#")]));
}

const chainOf = (table: NftTable, ip: string) =>
  table.sets
    .find(({ name }) => name === "ingress")
    ?.elements.find((element) => element.startsWith(`${ip} `))
    ?.replace(/^.* jump /, "");

test("a tier is its rules in their order, each with its name; single ports are one look-up, networks one set", () => {
  const ports = [80, 443].map((port) => ({ protocol: "TCP" as const, port }));
  const egress = [
    rule({ name: "web", action: "Accept", peers: [podsOf("b")], ports }),
    rule({ action: "Pass", peers: [podsOf("a")], ports: [{ protocol: "UDP", port: 5000, endPort: 6000 }] }),
    rule({
      peers: [
        { kind: "block", prefix: "10.0.0.0/8", except: [] },
        { kind: "block", prefix: "192.168.0.0/16", except: [] },
        { kind: "block", prefix: "fd00::/8", except: [] },
      ],
    }),
  ];
  const table = planPolicyTable(inputOf([policy("first", { egress })]), 4);
  assert.deepEqual(rulesOf(table, /egress-admin-\w+/), [
    'meta l4proto . th dport @ports-# ip daddr @pods-# return comment "first egress rule 1 (web): Accept"',
    'meta l4proto 17 th dport > 4999 th dport < 6001 ip daddr @pods-# return comment "first egress rule 2: Pass"',
    'ip daddr @block-# goto egress-denied-# comment "first egress rule 3: Deny"',
  ]);
  const block = table.sets.find(({ name }) => name.startsWith("block-"));
  assert.deepEqual(block?.elements, ["10.0.0.0/8", "192.168.0.0/16"]);
});

test("a rule may be called anything: its comment is short, and has nothing that nft would not read again", () => {
  for (const name of ['"; drop', "тест 试验 🙂", "a\nb\\", "n".repeat(100)]) {
    const table = planPolicyTable(inputOf([policy("p".repeat(60), { ingress: [rule({ name })] })]), 4);
    const comments = table.chains.flatMap(({ rules }) => rules.flatMap(({ comment = "" }) => comment));
    assert.ok(comments.some((comment) => comment.includes("rule 1 (")));
    for (const comment of comments) assert.match(comment, /^[\w .,:;/()?+-]{0,127}$/);
  }
});

test("pods that the same policies are about share a chain, and go on to the one that NetworkPolicies made for others, too", () => {
  const subject = { namespaces: [], pods: [{ key: "app", operator: "In" as const, values: ["x"] }] };
  const input = inputOf([policy("x", { subject, ingress: [rule({ peers: [podsOf("b")] })] })], [allow]);
  const [x1, x2] = [one, two].map((each) => ({ ...each, labels: { app: "x" } }));
  assert.ok(x1 && x2);
  const plain = pod("a", "plain", "10.244.1.4");
  const table = planPolicyTable({ ...input, pods: [x1, x2, plain, other] }, 4);
  assert.match(chainOf(table, "10.244.1.1") ?? "", /^ingress-admin-/);
  assert.equal(chainOf(table, "10.244.1.2"), chainOf(table, "10.244.1.1"));
  const isolated = chainOf(table, "10.244.1.4") ?? "";
  assert.match(isolated, /^ingress-[0-9a-f]{10}$/);
  assert.equal(rulesOf(table, /ingress-admin-\w+/).at(-1), `goto ${isolated.replace(/-[0-9a-f]{10}/, "-#")}`);
  assert.equal(chainOf(table, "10.244.1.3"), undefined, "nothing speaks of it");
});

test("Baseline is no part of a pod that a NetworkPolicy selects: it shares the chain of those without Baseline", () => {
  const base = policy("base", { tier: "Baseline", ingress: [rule({})] });
  const [bare, both] = [inputOf([], [allow]), inputOf([base], [allow])].map((input) => planPolicyTable(input, 4));
  assert.ok(bare && both);
  assert.equal(chainOf(both, "10.244.1.1"), chainOf(bare, "10.244.1.1"));
  assert.match(chainOf(both, "10.244.1.3") ?? "", /^ingress-baseline-/);
});

test("policies that are about nobody of the node change nothing of its table", () => {
  const nobody = policy("nobody", { subject: { namespaces: inNamespace("c"), pods: [] }, ingress: [rule({})] });
  const [bare, more] = [inputOf([], [allow]), inputOf([nobody], [allow])].map((input) => planPolicyTable(input, 4));
  assert.deepEqual(more, bare);
  assert.equal(planPolicyTable(inputOf([nobody]), 4).chains.length, 0);
});

test("a named port is the pod's own number in ingress: pods that differ in it cannot share a chain", () => {
  const ports = (["TCP", "UDP", "SCTP"] as const).map((protocol) => ({ protocol, port: "web" }));
  const named = (port: number) => ({ ports: [{ name: "web", protocol: "TCP" as const, port }] });
  const pods = [
    pod("a", "x", "10.244.1.1", named(80)),
    pod("a", "y", "10.244.1.2", named(81)),
    { ...other, ...named(80) },
  ];
  const table = planPolicyTable({ ...inputOf([policy("p", { ingress: [rule({ ports })] })]), pods }, 4);
  const chains = ["10.244.1.1", "10.244.1.2", "10.244.1.3"].map((ip) => chainOf(table, ip));
  assert.equal(new Set(chains).size, 2);
  assert.equal(chains[0], chains[2]);
});

test("PolicyPlanner.denials has each policy of a tier for itself, in a namespace that there cannot be", () => {
  const planner = new PolicyPlanner(4);
  const [first, second] = ["first", "second"].map((name) =>
    policy(name, { ingress: [rule({ peers: [podsOf("b")] })] }),
  );
  assert.ok(first && second);
  const only: ClusterNetworkPolicy = { ...second, ingress: [rule({ action: "Accept", peers: [podsOf("b")] })] };
  planner.update(inputOf([first, second, { ...only, name: "third", uid: "third" }], [allow]));
  assert.deepEqual([...planner.denials.values()].map((names) => names.join()).sort(), [
    "ClusterNetworkPolicy/first",
    "ClusterNetworkPolicy/second",
    "a/allow",
  ]);
});
