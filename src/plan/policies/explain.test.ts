/** What explain() says of each end, and that its suggestions admit what was denied, and nothing that they need not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "../../kube/json.ts";
import type { ReportField } from "../../kube/object-reader.ts";
import { parseClusterNetworkPolicy } from "../../kube/parse-cluster-network-policy.ts";
import { parseNetworkPolicy } from "../../kube/parse-network-policy.ts";
import { ipFamily } from "../../model/ip.ts";
import type { ClusterPolicy, PolicyPod } from "../../model/policy.ts";
import { type Random, randomNumbers } from "../services/testing/random-services.ts";
import { addressPairs, explain, type Party, type PolicyCluster, type Question } from "./explain.ts";
import type { PolicyObject, Suggestion } from "./explain-suggestion.ts";
import { judge } from "./judge.ts";
import { PORTS, PROTOCOLS, pick, randomPolicyInput, randomTieredInput } from "./testing/random-policies.ts";

const NAME_LABEL = "kubernetes.io/metadata.name";
const OUTSIDE: Party = { name: "outside", kind: "outside", ips: ["198.51.100.7", "2001:db8::7"] };

function partyOf(pod: PolicyPod): Party {
  return { name: `${pod.namespace}/${pod.name}`, kind: "pod", pod, nodeName: pod.nodeName, ips: pod.ips };
}

const aPod = (name: string, fields: Partial<PolicyPod> = {}): PolicyPod => ({
  ...{ namespace: "shop", name, labels: { app: name }, nodeName: "node1", ips: [`10.244.1.${name.length}`], ports: [] },
  ...fields,
});
const aPolicy = (name: string, fields: Partial<ClusterPolicy>): ClusterPolicy => ({
  ...{ namespace: "shop", name, uid: name, pods: [] },
  ...fields,
});
const app = (...values: string[]) => [{ key: "app", operator: "In" as const, values }];
const clusterOf = (pods: PolicyPod[], ...policies: ClusterPolicy[]): PolicyCluster => ({
  ...{ pods, policies },
  namespaces: new Map(pods.map(({ namespace }) => [namespace, { [NAME_LABEL]: namespace }])),
});
const web = aPod("web", { labels: { app: "web", "pod-template-hash": "5d4f" } });
const redis = aPod("redis");
const other = aPod("other", { namespace: "mail", ips: ["10.244.2.5"] });
const ask = (cluster: PolicyCluster, from: Party, to: Party, port = 6379) =>
  explain({ from, to, protocol: "TCP", port }, cluster);

test("explain() names the rule that admits, and what nobody has to admit", () => {
  const ingress = [
    { peers: [{ kind: "pods" as const, pods: app("other") }] },
    { ports: [{ protocol: "TCP" as const }] },
  ];
  const cluster = clusterOf([web, redis], aPolicy("clients", { pods: app("redis"), ingress }));
  const { admitted, ways, suggestions } = ask(cluster, partyOf(web), partyOf(redis));
  assert.equal(admitted, true);
  assert.deepEqual(suggestions, []);
  assert.deepEqual(ways[0]?.egress, { admitted: true, exempt: "not-isolated", selecting: [], matched: [], misses: [] });
  assert.deepEqual(ways[0]?.ingress, {
    ...{ admitted: true, tier: "NetworkPolicy", by: { policy: "shop/clients", rule: 2 } },
    ...{ selecting: ["shop/clients"], matched: [], misses: [] },
  });
});

test("explain() lets pass what policies never look at: a pod itself, its node, ends that are no pods", () => {
  const cluster = clusterOf([web, redis], aPolicy("deny", { ingress: [], egress: [] }));
  const node = (nodeName: string): Party => ({ name: nodeName, kind: "node", nodeName, ips: ["192.168.1.11"] });
  const exempt = (from: Party, to: Party) => {
    const [way] = ask(cluster, from, to).ways;
    return [way?.egress.exempt ?? way?.egress.admitted, way?.ingress.exempt ?? way?.ingress.admitted];
  };
  assert.deepEqual(exempt(partyOf(web), partyOf(web)), ["itself", "itself"]);
  assert.deepEqual(exempt(node("node1"), partyOf(web)), ["no-pod", "own-node"]);
  assert.deepEqual(exempt(partyOf(web), node("node1")), ["own-node", "no-pod"]);
  assert.deepEqual(exempt(node("node2"), partyOf(web)), ["no-pod", false]);
  assert.deepEqual(exempt(partyOf(web), node("node2")), [false, "no-pod"]);
  assert.deepEqual(exempt(OUTSIDE, partyOf(web)), ["no-pod", false]);
  assert.deepEqual(exempt(partyOf(web), partyOf(redis)), [false, false]);
});

test("explain() says of each rule what it lacks, the nearest first", () => {
  const tcp = (port: number) => ({ protocol: "TCP" as const, port });
  const ingress = [
    { peers: [{ kind: "pods" as const, pods: app("mail") }], ports: [tcp(25)] },
    { peers: [{ kind: "pods" as const, pods: app("api") }], ports: [tcp(6379)] },
    { peers: [{ kind: "pods" as const, pods: app("web") }], ports: [tcp(80), { ...tcp(8000), endPort: 8010 }] },
    { peers: [], ports: [] },
    { ports: ["redis", "metrics", "dns"].map((port) => ({ protocol: "TCP" as const, port })) },
  ];
  const named = { name: "metrics", protocol: "TCP" as const, port: 9121 };
  const target = { ...redis, ports: [named, { ...named, name: "dns", protocol: "UDP" as const }] };
  const policies = [aPolicy("clients", { pods: app("redis"), ingress }), aPolicy("deny", { ingress: [] })];
  const { ways } = ask(clusterOf([web, target], ...policies), partyOf(web), partyOf(target));
  assert.deepEqual(
    ways[0]?.ingress.misses.map(({ policy, rule, why }) => `${policy} ${rule} ${why}`),
    [
      "shop/clients 3 admits this peer, but only on TCP 80, TCP 8000-8010",
      'shop/clients 5 admits this peer, but only on TCP "redis" (which it does not declare), TCP "metrics" (9121 here), TCP "dns" (which it does not declare)',
      "shop/clients 2 admits TCP 6379, but only for pods app=api of namespace shop",
      "shop/clients 1 admits pods app=mail of namespace shop on TCP 25",
      "shop/clients 4 admits nothing: it could not be understood",
      "shop/deny 0 has no ingress rules: it admits nothing",
    ],
  );
});

test("explain() tells families apart, where a block admits only one", () => {
  const ips = (last: number) => [`10.244.1.${last}`, `fd00:10:244:1::${last}`];
  const [from, to] = [aPod("web", { ips: ips(1) }), aPod("redis", { ips: ips(2) })];
  const peers = [{ kind: "block" as const, prefix: "10.244.0.0/16", except: [] }];
  const cluster = clusterOf([from, to], aPolicy("block", { pods: app("redis"), ingress: [{ peers }] }));
  const { admitted, ways, suggestions } = ask(cluster, partyOf(from), partyOf(to));
  assert.equal(admitted, false);
  assert.deepEqual(
    ways.map((way) => [way.from, way.admitted]),
    [
      ["10.244.1.1", true],
      ["fd00:10:244:1::1", false],
    ],
  );
  assert.equal(suggestions.length, 1);
});

test("explain() refuses ends that share no family", () => {
  const six = aPod("six", { ips: ["fd00::6"] });
  assert.throws(() => ask(clusterOf([web, six]), partyOf(web), partyOf(six)), RangeError);
});

test("explain() tells what of the policies that took part is not understood", () => {
  const broken = aPolicy("broken", { ingress: [], problems: ["spec.ingress[0]: it is no rule: it admits nothing"] });
  const foreign = aPolicy("foreign", { namespace: "mail", ingress: [], problems: ["spec.egress: no list"] });
  const { problems } = ask(clusterOf([web, redis, other], broken, foreign), partyOf(web), partyOf(redis));
  assert.deepEqual(problems, [{ policy: "shop/broken", why: "spec.ingress[0]: it is no rule: it admits nothing" }]);
});

test("explain() suggests labels that last, one port, and the namespace by its name", () => {
  const cluster = clusterOf([web, redis, other], aPolicy("deny", { ingress: [] }));
  const [same] = ask(cluster, partyOf(web), partyOf(redis)).suggestions;
  assert.deepEqual(same?.policy, {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "shop", name: "web-to-redis-tcp-6379-ingress" },
    spec: {
      podSelector: { matchLabels: { app: "redis" } },
      policyTypes: ["Ingress"],
      ingress: [{ from: [{ podSelector: { matchLabels: { app: "web" } } }], ports: [{ protocol: "TCP", port: 6379 }] }],
    },
  });
  assert.deepEqual([same?.selects, same?.admits, same?.remarks], [["shop/redis"], ["shop/web"], []]);
  const [foreign] = ask(cluster, partyOf(other), partyOf(redis)).suggestions;
  assert.deepEqual(foreign?.policy.spec["ingress"], [
    {
      from: [
        {
          namespaceSelector: { matchLabels: { [NAME_LABEL]: "mail" } },
          podSelector: { matchLabels: { app: "other" } },
        },
      ],
      ports: [{ protocol: "TCP", port: 6379 }],
    },
  ]);
  const [outside] = ask(cluster, OUTSIDE, partyOf(redis)).suggestions;
  assert.deepEqual(outside?.admits, ["198.51.100.7/32"], "the pod has no IPv6 address");
});

test("explain() isolates no pod with what it suggests: it selects as the policy that denies does", () => {
  const [one, two] = [aPod("r1", { labels: { app: "r", a: "1" } }), aPod("r22", { labels: { app: "r" } })];
  const only = [{ key: "a", operator: "Exists" as const, values: [] }];
  const cluster = clusterOf([web, one, two], aPolicy("deny", { pods: only, ingress: [] }));
  const [narrow] = ask(cluster, partyOf(web), partyOf(one)).suggestions;
  assert.deepEqual(narrow?.policy.spec["podSelector"], { matchLabels: { a: "1" } }, "the label that tells it apart");
  const twins = clusterOf(
    [web, { ...one, labels: { app: "r", "pod-template-hash": "x" } }, two],
    aPolicy("deny", { pods: [{ ...only[0], key: "pod-template-hash" } as never], ingress: [] }),
  );
  const [wide] = ask(twins, partyOf(web), partyOf(twins.pods[1] as PolicyPod)).suggestions;
  assert.deepEqual(wide?.policy.spec["podSelector"], {
    matchExpressions: [{ key: "pod-template-hash", operator: "Exists" }],
  });
  assert.match(wide?.remarks[0] ?? "", /selects what shop\/deny selects: .* would also isolate shop\/r22/);
});

test("explain() takes no name that a policy has already", () => {
  const taken = aPolicy("web-to-redis-tcp-6379-ingress", { ingress: [] });
  const [suggestion] = ask(clusterOf([web, redis], taken), partyOf(web), partyOf(redis)).suggestions;
  assert.equal(suggestion?.policy.metadata.name, "web-to-redis-tcp-6379-ingress-2");
});

/** As the agent would read it. */
function applied(cluster: PolicyCluster, suggestions: readonly Suggestion[]): PolicyCluster {
  const parsed = <T>(kind: PolicyObject["kind"], parse: (object: JsonObject, report: ReportField) => T): T[] =>
    suggestions
      .filter(({ policy }) => policy.kind === kind)
      .map(({ policy }) =>
        parse(policy as unknown as JsonObject, (field, why) =>
          assert.fail(`${field}: ${why} ${JSON.stringify(policy)}`),
        ),
      );
  const { policies, clusterNetworkPolicies = [] } = cluster;
  return {
    ...cluster,
    policies: [...policies, ...parsed("NetworkPolicy", parseNetworkPolicy)],
    clusterNetworkPolicies: [...clusterNetworkPolicies, ...parsed("ClusterNetworkPolicy", parseClusterNetworkPolicy)],
  };
}

function randomCluster(random: Random): PolicyCluster {
  const input = random(2) === 0 ? randomPolicyInput(random) : randomTieredInput(random);
  const named = new Map([...input.namespaces].map(([name, labels]) => [name, { ...labels, [NAME_LABEL]: name }]));
  return {
    ...input,
    namespaces: random(3) === 0 ? input.namespaces : named,
    // Some at 0 and some that are not understood, but not most of them.
    clusterNetworkPolicies: (input.clusterNetworkPolicies ?? []).map((policy) => ({
      ...policy,
      priority: policy.priority + (random(4) === 0 ? 0 : 7),
    })),
  };
}

function randomQuestion(random: Random, { pods }: PolicyCluster): Question {
  const end = () => (random(6) === 0 ? OUTSIDE : partyOf(pick(random, pods)));
  return { from: end(), to: end(), protocol: pick(random, PROTOCOLS), port: pick(random, PORTS) };
}

function admittedBy({ from, to, protocol, port }: Question, cluster: PolicyCluster): boolean {
  return addressPairs({ from, to }).every((pair) => {
    const flow = { from: { ip: pair.from, pod: from.pod }, to: { ip: pair.to, pod: to.pod }, protocol, port };
    return (["egress", "ingress"] as const).every(
      (direction) => judge(direction, flow, cluster.policies, cluster).admitted,
    );
  });
}

test("explain() suggests what admits a denied connection, and no part of it can be left out, for random policies", () => {
  const random = randomNumbers(17);
  const counts = { admitted: 0, one: 0, both: 0, advice: 0, tiers: 0 };
  for (let round = 0; round < 500; round++) {
    const cluster = randomCluster(random);
    for (let i = 0; i < 8; i++) {
      const question = randomQuestion(random, cluster);
      const { admitted, suggestions, advice } = explain(question, cluster);
      const what = () => JSON.stringify({ question, suggestions, advice, cluster });
      assert.equal(admitted, admittedBy(question, cluster), what());
      assert.equal(admitted, suggestions.length + advice.length === 0, what());
      counts[admitted ? "admitted" : advice.length > 0 ? "advice" : suggestions.length > 1 ? "both" : "one"]++;
      if (admitted) continue;
      assert.equal(admittedBy(question, applied(cluster, suggestions)), advice.length === 0, what());
      for (const each of suggestions) {
        if (each.policy.kind === "ClusterNetworkPolicy") counts.tiers++;
        const others = suggestions.filter((suggestion) => suggestion !== each);
        for (const less of smaller(each)) {
          assert.ok(!admittedBy(question, applied(cluster, [...others, ...less])), `${JSON.stringify(less)} ${what()}`);
        }
      }
    }
  }
  const { admitted, one, both, advice, tiers } = counts;
  assert.ok(admitted > 300 && one > 300 && both > 50 && advice > 50 && tiers > 100, JSON.stringify(counts));
});

/** The suggestion without each of its parts, or with another one in its place. */
function smaller(suggestion: Suggestion): Suggestion[][] {
  const { direction, policy } = suggestion;
  const [rule = {}] = policy.spec[direction] as Record<string, unknown>[];
  const withRule = (changed: object): Suggestion[] => [
    { ...suggestion, policy: { ...policy, spec: { ...policy.spec, [direction]: [{ ...rule, ...changed }] } } },
  ];
  const peersName = direction === "ingress" ? "from" : "to";
  const peers = rule[peersName] as unknown[];
  const none = [
    { key: "app", operator: "In", values: ["a"] },
    { key: "app", operator: "NotIn", values: ["a"] },
  ];
  const nobody = { namespaceSelector: {}, podSelector: { matchExpressions: none } };
  const without = (peer: unknown, other: unknown) =>
    withRule({ [peersName]: [other, ...peers.filter((each) => each !== peer)] });
  if (policy.kind === "NetworkPolicy") {
    const [{ port, protocol } = { port: 0, protocol: "" }] = rule["ports"] as { port: number; protocol: string }[];
    return [
      [],
      withRule({ ports: [{ protocol, port: port - 1 }] }),
      withRule({ ports: [{ protocol: protocol === "TCP" ? "UDP" : "TCP", port }] }),
      ...peers.map((peer) => without(peer, nobody)),
    ];
  }
  const [only = {}] = rule["protocols"] as Record<string, { destinationPort: { number: number } }>[];
  const [[protocol, { destinationPort }] = ["", { destinationPort: { number: 0 } }]] = Object.entries(only);
  return [
    [],
    withRule({ protocols: [{ [protocol]: { destinationPort: { number: destinationPort.number - 1 } } }] }),
    withRule({ protocols: [{ [protocol === "tcp" ? "udp" : "tcp"]: { destinationPort } }] }),
    ...peers.map((peer) => without(peer, { pods: nobody })),
  ];
}

test("explain() suggests nothing that admits more than the pods that lasting labels cannot tell apart", () => {
  const random = randomNumbers(23);
  let opened = 0;
  for (let round = 0; round < 60; round++) {
    const cluster = randomCluster(random);
    for (let i = 0; i < 3; i++) {
      const question = randomQuestion(random, cluster);
      const { suggestions } = explain(question, cluster);
      const after = applied(cluster, suggestions);
      for (const flow of everyFlow(random, cluster, question)) {
        const [before, now] = [admittedBy(flow, cluster), admittedBy(flow, after)];
        if (before === now) continue;
        opened++;
        const what = () => JSON.stringify({ flow, question, suggestions, policies: cluster.policies });
        assert.ok(now, `it denies what was admitted: ${what()}`);
        assert.equal(flow.port, question.port, what());
        assert.equal(flow.protocol, question.protocol, what());
        for (const { direction, admits, selects } of suggestions) {
          const [own, peer] = direction === "ingress" ? [flow.to, flow.from] : [flow.from, flow.to];
          if (judgeEnd(direction, flow, cluster)) continue;
          assert.ok(selects.includes(own.name), what());
          assert.ok(peer.pod === undefined || admits.includes(peer.name) || isBlock(admits, peer), what());
        }
      }
    }
  }
  assert.ok(opened > 50, String(opened));
});

function judgeEnd(direction: "ingress" | "egress", { from, to, protocol, port }: Question, cluster: PolicyCluster) {
  return addressPairs({ from, to }).every((pair) => {
    const flow = { from: { ip: pair.from, pod: from.pod }, to: { ip: pair.to, pod: to.pod }, protocol, port };
    return judge(direction, flow, cluster.policies, cluster).admitted;
  });
}

function isBlock(admits: readonly string[], { ips }: Party): boolean {
  return ips.some((ip) => admits.includes(`${ip}/${ipFamily(ip) === 4 ? 32 : 128}`));
}

/** Between all pods and the outside, on the port that was asked for and another one. */
function* everyFlow(random: Random, { pods }: PolicyCluster, asked: Question): Generator<Question> {
  const ends = [OUTSIDE, ...pods.map(partyOf)];
  const others = { protocol: pick(random, PROTOCOLS), port: pick(random, PORTS) };
  for (const from of ends) {
    for (const to of ends) {
      yield { from, to, protocol: asked.protocol, port: asked.port };
      yield { from, to, protocol: asked.protocol, port: others.port };
      yield { from, to, protocol: others.protocol, port: asked.port };
    }
  }
}
