/** Shadowed rules: which are, and that without all of them every connection is judged as before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ip, ipFamily } from "../../model/ip.ts";
import type { ClusterPolicy, PolicyDirection, PolicyPeer, PolicyRule } from "../../model/policy.ts";
import { type Random, randomNumbers } from "../services/testing/random-services.ts";
import { shadowedRules } from "./audit-shadowed.ts";
import { judge } from "./judge.ts";
import type { ClusterPods } from "./peers.ts";
import { PORTS, PROTOCOLS, pick, randomPolicyInput } from "./testing/random-policies.ts";

const NAME_LABEL = "kubernetes.io/metadata.name";
const is = (key: string, ...values: string[]) => [{ key, operator: "In" as const, values }];
const pods = (...args: Parameters<typeof is>): PolicyPeer => ({ kind: "pods", pods: is(...args) });
const block = (prefix: string, ...except: string[]): PolicyPeer => ({ kind: "block", prefix, except });
const tcp = (port: number | string, endPort?: number) =>
  ({ protocol: "TCP", port, ...(endPort && { endPort }) }) as const;
const aPolicy = (name: string, fields: Partial<ClusterPolicy>): ClusterPolicy => ({
  ...{ namespace: "x", name, uid: name, pods: [] },
  ...fields,
});
const NAMESPACES = new Map(["x", "y"].map((name) => [name, { [NAME_LABEL]: name }]));

/** As `policy RULE < policy RULE`. */
function found(policies: ClusterPolicy[], direction: PolicyDirection = "ingress", namespaces = NAMESPACES): string[] {
  return shadowedRules(policies, direction, namespaces).map(
    ({ policy, rule, by, same }) => `${policy.name} ${rule} ${same ? "=" : "<"} ${by.policy.name} ${by.rule}`,
  );
}

const one = (...ingress: PolicyRule[]) => found([aPolicy("p", { ingress })]);

test("shadowedRules() finds rules that another rule of the same policy holds", () => {
  assert.deepEqual(one({}, { ports: [tcp(80)] }), ["p 2 < p 1"]);
  assert.deepEqual(one({ ports: [tcp(80)] }, { peers: [pods("app", "a")], ports: [tcp(80)] }), ["p 2 < p 1"]);
  assert.deepEqual(one({ peers: [pods("app", "a")] }, { peers: [pods("app", "a", "b")] }), ["p 1 < p 2"]);
  assert.deepEqual(one({ ports: [tcp(80, 90)] }, { ports: [tcp(85), tcp(88, 90)] }), ["p 2 < p 1"]);
  assert.deepEqual(one({ peers: [block("10.1.0.0/16")] }, { peers: [block("10.0.0.0/8", "10.2.0.0/16")] }), [
    "p 1 < p 2",
  ]);
  assert.deepEqual(
    one({ peers: [{ kind: "pods", namespaces: [], pods: [] }] }, { peers: [pods("app", "a")] }),
    ["p 2 < p 1"],
    "all pods of all namespaces hold some of the own one",
  );
});

test("shadowedRules() leaves alone what only looks alike", () => {
  assert.deepEqual(one({ ports: [tcp(80)] }, { ports: [tcp(81)] }), []);
  assert.deepEqual(one({ ports: [tcp(80)] }, { ports: [{ protocol: "UDP", port: 80 }] }), []);
  assert.deepEqual(one({ ports: [tcp(80)] }, { ports: [tcp("http")] }), [], "a name may be another number");
  assert.deepEqual(one({ peers: [block("10.0.0.0/8", "10.1.0.0/24")] }, { peers: [block("10.1.0.0/16")] }), []);
  assert.deepEqual(one({ peers: [block("0.0.0.0/0")] }, { peers: [pods("app", "a")] }), [], "pods may have IPv6");
  assert.deepEqual(one({}, { peers: [], ports: [] }), [], "what could not be understood is another finding");
  const protocols = { ports: PROTOCOLS.map((protocol) => ({ protocol })) };
  assert.deepEqual(one({}, protocols), ["p 2 < p 1"], "not the other way: there are more protocols");
  const elsewhere: PolicyPeer = { kind: "pods", namespaces: is(NAME_LABEL, "y"), pods: [] };
  assert.deepEqual(one({ peers: [elsewhere] }, { peers: [{ kind: "pods", pods: [] }] }), []);
});

test("shadowedRules() takes a namespace's name for its label where all namespaces have that", () => {
  const byName: PolicyPeer = { kind: "pods", namespaces: is(NAME_LABEL, "x"), pods: [] };
  const policies = [aPolicy("p", { ingress: [{ peers: [byName] }, { peers: [{ kind: "pods", pods: [] }] }] })];
  assert.deepEqual(found(policies), ["p 2 = p 1"]);
  assert.deepEqual(found(policies, "ingress", new Map([["x", { [NAME_LABEL]: "y" }]])), []);
});

test("shadowedRules() finds them between policies, where the other one selects at least the same pods", () => {
  const ports = [tcp(80)];
  const [wide, narrow] = [
    aPolicy("wide", { ingress: [{ ports }] }),
    aPolicy("narrow", { pods: is("app", "a"), ingress: [{ ports }] }),
  ];
  assert.deepEqual(found([narrow, wide]), ["narrow 1 < wide 1"]);
  const same = aPolicy("same", { pods: is("app", "a"), ingress: [{ ports }, {}] });
  assert.deepEqual(
    found([narrow, same]),
    ["narrow 1 < same 2", "same 1 < same 2"],
    "by the rule that is not shadowed itself",
  );
  assert.deepEqual(found([aPolicy("other", { pods: is("app", "b"), ingress: [{}] }), narrow]), []);
  assert.deepEqual(found([aPolicy("out", { egress: [{}] }), narrow]), [], "of the other direction");
});

test("shadowedRules() leaves the first of rules that say the same", () => {
  const ingress = [{ peers: [pods("app", "a", "b")], ports: [tcp(80), tcp(81)] }];
  const turned = [
    {
      peers: [pods("app", "b", "a")].map((peer) => ({ ...peer, pods: is("app", "a", "b") })),
      ports: [tcp(81), tcp(80)],
    },
  ];
  assert.deepEqual(found([aPolicy("a", { ingress }), aPolicy("b", { ingress: turned }), aPolicy("c", { ingress })]), [
    "b 1 = a 1",
    "c 1 = a 1",
  ]);
});

/** Every policy without the rules that are reported of it. */
function withoutShadowed(
  policies: readonly ClusterPolicy[],
  cluster: ClusterPods,
  counts: { shadowed: number },
): ClusterPolicy[] {
  const gone = new Set<PolicyRule>();
  for (const some of Map.groupBy(policies, ({ namespace }) => namespace).values()) {
    for (const direction of ["ingress", "egress"] as const) {
      for (const { policy, rule } of shadowedRules(some, direction, cluster.namespaces)) {
        gone.add((policy[direction] ?? [])[rule - 1] as PolicyRule);
      }
    }
  }
  counts.shadowed += gone.size;
  const left = (rules: readonly PolicyRule[]) => rules.filter((rule) => !gone.has(rule));
  return policies.map(({ ingress, egress, ...rest }) => ({
    ...rest,
    ...(ingress && { ingress: left(ingress) }),
    ...(egress && { egress: left(egress) }),
  }));
}

/** Many policies on few pods, so that rules meet. */
function crowded(random: Random) {
  const inputs = Array.from({ length: 5 }, () => randomPolicyInput(random));
  const [first] = inputs;
  const policies = inputs.flatMap((input, i) =>
    input.policies.map((policy) => ({ ...policy, namespace: "x", name: `${policy.name}-${i}` })),
  );
  const labelled = random(2) === 0;
  const named = new Map(
    [...(first?.namespaces ?? [])].map(([name, labels]) => [
      name,
      labelled ? { ...labels, [NAME_LABEL]: name } : labels,
    ]),
  );
  return { pods: inputs.flatMap((input) => input.pods), namespaces: named, policies };
}

test("shadowedRules() names only rules without which judge() says the same, for random policies and packets", () => {
  const random = randomNumbers(31);
  const counts = { shadowed: 0, admitted: 0, denied: 0 };
  for (let round = 0; round < 120; round++) {
    const { policies, ...cluster } = crowded(random);
    const less = withoutShadowed(policies, cluster, counts);
    for (let i = 0; i < 60; i++) {
      const end = () => {
        const pod = random(5) === 0 ? undefined : pick(random, cluster.pods);
        return { pod, ips: (pod?.ips ?? ["198.51.100.7", "2001:db8::7"]) as readonly Ip[] };
      };
      const [from, to, family] = [end(), end(), pick(random, [4, 6] as const)];
      const at = ({ pod, ips }: typeof from) => ({ pod, ip: ips.find((ip) => ipFamily(ip) === family) ?? "" });
      const flow = { from: at(from), to: at(to), protocol: pick(random, PROTOCOLS), port: pick(random, PORTS) };
      for (const direction of ["ingress", "egress"] as const) {
        const [before, after] = [policies, less].map((each) => judge(direction, flow, each, cluster));
        assert.equal(after?.admitted, before?.admitted, JSON.stringify({ flow, direction, policies, less }));
        assert.equal(after?.selecting.length, before?.selecting.length);
        counts[before?.admitted ? "admitted" : "denied"]++;
      }
    }
  }
  assert.ok(counts.shadowed > 500 && counts.admitted > 1000 && counts.denied > 500, JSON.stringify(counts));
});
