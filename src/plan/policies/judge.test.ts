/** The order of the tiers, and which rule is said to have decided. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNetworkPolicy, PolicyTier, TierAction, TierRule } from "../../model/cluster-network-policy.ts";
import type { ClusterPolicy, PolicyDirection, PolicyPod } from "../../model/policy.ts";
import { type JudgedCluster, type JudgedFlow, type Judgement, judge } from "./judge.ts";

const pod = (namespace: string, ip: string, more: Partial<PolicyPod> = {}): PolicyPod => ({
  ...{ namespace, name: "p", labels: {}, nodeName: "node1", ips: [ip], ports: [] },
  ...more,
});
const client = pod("client", "10.244.1.1");
const server = pod("server", "10.244.1.2", { ports: [{ name: "http", protocol: "TCP", port: 80 }] });
const namespaces = new Map(["client", "server"].map((name) => [name, { name }]));

const from = (name: string) => [{ key: "name", operator: "In" as const, values: [name] }];
const ANYBODY = { kind: "pods", namespaces: [], pods: [] } as const;

function rule(action: TierAction, more: Partial<TierRule> = {}): TierRule {
  return { name: "", action, peers: [ANYBODY], ...more };
}

function about(name: string, tier: PolicyTier, priority: number, ...ingress: TierRule[]): ClusterNetworkPolicy {
  const subject = { namespaces: [], pods: [] };
  return { name, uid: name, generation: 1, tier, priority, subject, ingress, egress: [] };
}

const allow: ClusterPolicy = { namespace: "server", name: "allow", uid: "allow", pods: [], ingress: [{}] };
const deny: ClusterPolicy = { namespace: "server", name: "deny", uid: "deny", pods: [], ingress: [] };

function judged(
  clusterNetworkPolicies: readonly ClusterNetworkPolicy[],
  policies: readonly ClusterPolicy[] = [],
  flow: Partial<JudgedFlow> = {},
  more: Partial<JudgedCluster> & { readonly direction?: PolicyDirection } = {},
): Judgement {
  const whole: JudgedFlow = {
    ...{ from: { ip: "10.244.1.1", pod: client }, to: { ip: "10.244.1.2", pod: server } },
    ...{ protocol: "TCP", port: 80 },
    ...flow,
  };
  const cluster = { pods: [client, server], namespaces, clusterNetworkPolicies, ...more };
  return judge(more.direction ?? "ingress", whole, policies, cluster);
}

/** "Admin deny: a 1 Pass, b 2 Deny". */
function verdict({ admitted, tier, matched }: Judgement): string {
  const rules = matched.map((each) => `${each.tier} ${each.policy.name} ${each.rule} ${each.action}`).join(", ");
  return `${tier ?? "nobody"} ${admitted ? "admits" : "denies"}${rules === "" ? "" : `: ${rules}`}`;
}

const admin = (action: TierAction) => about("admin", "Admin", 10, rule(action));
const baseline = (action: TierAction) => about("base", "Baseline", 10, rule(action));

const TIERS: readonly (readonly [string, Judgement, string])[] = [
  ["nothing", judged([]), "nobody admits"],
  ["a NetworkPolicy that admits", judged([], [allow]), "NetworkPolicy admits"],
  ["a NetworkPolicy that denies", judged([], [deny]), "NetworkPolicy denies"],
  [
    "Admin Deny above a NetworkPolicy that admits",
    judged([admin("Deny")], [allow]),
    "Admin denies: Admin admin 1 Deny",
  ],
  [
    "Admin Accept above a NetworkPolicy that denies",
    judged([admin("Accept")], [deny]),
    "Admin admits: Admin admin 1 Accept",
  ],
  [
    "Admin Pass, and a NetworkPolicy that denies",
    judged([admin("Pass")], [deny]),
    "NetworkPolicy denies: Admin admin 1 Pass",
  ],
  [
    "Admin Pass, and a NetworkPolicy that admits",
    judged([admin("Pass")], [allow]),
    "NetworkPolicy admits: Admin admin 1 Pass",
  ],
  ["Admin Pass alone", judged([admin("Pass")]), "nobody admits: Admin admin 1 Pass"],
  [
    "Admin Pass, and Baseline Deny",
    judged([admin("Pass"), baseline("Deny")]),
    "Baseline denies: Admin admin 1 Pass, Baseline base 1 Deny",
  ],
  ["Baseline Deny alone", judged([baseline("Deny")]), "Baseline denies: Baseline base 1 Deny"],
  ["Baseline Deny below a NetworkPolicy that admits", judged([baseline("Deny")], [allow]), "NetworkPolicy admits"],
  ["Baseline Accept below a NetworkPolicy that denies", judged([baseline("Accept")], [deny]), "NetworkPolicy denies"],
  ["Baseline Accept", judged([baseline("Accept")]), "Baseline admits: Baseline base 1 Accept"],
  ["Baseline Pass", judged([baseline("Pass")]), "nobody admits: Baseline base 1 Pass"],
  ["Admin Deny, and Baseline Accept", judged([baseline("Accept"), admin("Deny")]), "Admin denies: Admin admin 1 Deny"],
];
for (const [what, judgement, expected] of TIERS) {
  test(`judge() with ${what}: ${expected}`, () => assert.equal(verdict(judgement), expected));
}

test("judge() goes by rising priority, then by name, then by the order of rules", () => {
  const [low, high] = [about("a", "Admin", 20, rule("Deny")), about("b", "Admin", 3, rule("Accept"))];
  assert.equal(verdict(judged([low, high])), "Admin admits: Admin b 1 Accept");
  const second = about("c", "Admin", 3, rule("Deny"));
  for (const both of [
    [high, second],
    [second, high],
  ]) {
    assert.equal(verdict(judged(both)), "Admin admits: Admin b 1 Accept");
  }
  const unknown = about("z", "Admin", -1, rule("Deny"));
  assert.equal(verdict(judged([high, unknown])), "Admin denies: Admin z 1 Deny");
  const ordered = about("a", "Admin", 1, rule("Accept", { peers: [] }), rule("Pass"), rule("Deny"));
  assert.equal(verdict(judged([ordered])), "nobody admits: Admin a 2 Pass");
});

test("judge() skips what is left of a tier behind a Pass, also in other policies", () => {
  const passed = [about("a", "Admin", 1, rule("Pass"), rule("Deny")), about("b", "Admin", 2, rule("Deny"))];
  assert.equal(verdict(judged(passed)), "nobody admits: Admin a 1 Pass");
  assert.equal(verdict(judged(passed, [deny])), "NetworkPolicy denies: Admin a 1 Pass");
});

test("judge() looks at policies whose subject is the pod of this side, and that speak of the direction", () => {
  const ofClients = { ...admin("Deny"), subject: { namespaces: from("client"), pods: [] } };
  assert.equal(judged([ofClients]).admitted, true);
  const ofServers = { ...admin("Deny"), subject: { namespaces: from("server"), pods: [] } };
  assert.equal(judged([ofServers]).admitted, false);
  assert.equal(judged([ofServers], [], {}, { direction: "egress" }).admitted, true);
  const byPod = { ...admin("Deny"), subject: { namespaces: [], pods: from("x") } };
  assert.equal(judged([byPod]).admitted, true);
});

test("judge() takes all traffic for a rule without ports, and nobody for a rule without peers that are left", () => {
  assert.equal(judged([about("a", "Admin", 1, { name: "", action: "Deny" })]).admitted, false);
  const outside = { from: { ip: "198.51.100.7" } };
  assert.equal(judged([about("a", "Admin", 1, { name: "", action: "Deny" })], [], outside).admitted, false);
  assert.equal(judged([admin("Deny")], [], outside).admitted, true, "pods are meant, and nobody else");
  assert.equal(judged([about("a", "Admin", 1, rule("Deny", { peers: [] }))]).admitted, true);
  assert.equal(judged([about("a", "Admin", 1, rule("Deny", { ports: [] }))]).admitted, true);
});

test("judge() finds named ports at the pod that is dialled, of the protocol that is dialled", () => {
  const ports = (["TCP", "UDP", "SCTP"] as const).map((protocol) => ({ protocol, port: "http" }));
  const named = about("a", "Admin", 1, rule("Deny", { ports }));
  assert.equal(judged([named]).admitted, false);
  assert.equal(judged([named], [], { port: 81 }).admitted, true);
  assert.equal(judged([named], [], { protocol: "UDP" }).admitted, true);
});

test("judge() knows nodes by every address that they have, and networks by theirs", () => {
  const addresses = { internalIps: ["192.168.1.11"], externalIps: ["203.0.113.5"] };
  const nodes = new Map([["n", { name: "n", ...addresses, podCidrs: [], labels: { zone: "a" } }]]);
  const egress = (peer: TierRule["peers"]) => ({
    ...about("a", "Admin", 1),
    egress: [rule("Deny", { peers: peer ?? [] })],
  });
  const dials = (ip: string, peers: TierRule["peers"]) =>
    judged([egress(peers)], [], { to: { ip } }, { direction: "egress", nodes }).admitted;
  const inZone = [{ kind: "nodes", nodes: [{ key: "zone", operator: "In", values: ["a"] }] }] as const;
  assert.deepEqual(
    ["192.168.1.11", "203.0.113.5", "192.168.1.12"].map((ip) => dials(ip, inZone)),
    [false, false, true],
  );
  const network = [{ kind: "block", prefix: "192.168.0.0/16", except: [] }] as const;
  assert.deepEqual(
    ["192.168.1.11", "203.0.113.5"].map((ip) => dials(ip, network)),
    [false, true],
  );
});

test("judge() lets no tier come between a pod and itself", () => {
  const flow = { from: { ip: "10.244.1.2", pod: server } };
  assert.equal(verdict(judged([admin("Deny"), baseline("Deny")], [deny], flow)), "nobody admits");
});
