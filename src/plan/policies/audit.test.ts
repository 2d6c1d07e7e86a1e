/** What an audit reports, and that it reports nothing else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNetworkPolicy, TierAction, TierPeer, TierRule } from "../../model/cluster-network-policy.ts";
import type { ClusterPolicy, PolicyPod, PolicyRule } from "../../model/policy.ts";
import { matchesSelector } from "../../model/selector.ts";
import { randomNumbers } from "../services/testing/random-services.ts";
import { type AuditInput, audit, type DeclaredPort, type Finding } from "./audit.ts";
import { isSelected, selectionOf } from "./peers.ts";
import { randomPolicyInput } from "./testing/random-policies.ts";

const is = (key: string, ...values: string[]) => [{ key, operator: "In" as const, values }];
const OPEN = { kind: "pods" as const, pods: is("app", "web") };
const tcp = (port: number | string, endPort?: number) =>
  ({ protocol: "TCP", port, ...(endPort && { endPort }) }) as const;
const declared = (port: number, name?: string, protocol: DeclaredPort["protocol"] = "TCP"): DeclaredPort => ({
  ...{ port, protocol },
  ...(name && { name }),
});

interface TestPod extends PolicyPod {
  readonly declares: readonly DeclaredPort[];
}

function aPod(namespace: string, app: string, ...declares: DeclaredPort[]): TestPod {
  const ports = declares.flatMap((port) => (port.name === undefined ? [] : [{ ...port, name: port.name }]));
  return { namespace, name: app, labels: { app }, nodeName: "node1", ips: ["10.244.1.1"], ports, declares };
}

const aPolicy = (name: string, fields: Partial<ClusterPolicy>): ClusterPolicy => ({
  ...{ namespace: "shop", name, uid: name, pods: [] },
  ...fields,
});

function inputOf(pods: readonly TestPod[], ...policies: ClusterPolicy[]): AuditInput {
  return {
    ...{ pods, policies, hostPods: [{ namespace: "shop", name: "host-0", labels: { app: "host" } }] },
    namespaces: new Map<string, Record<string, string>>([
      ["shop", { team: "one" }],
      ["mail", {}],
      ["empty", { team: "none" }],
    ]),
    declaredPorts: new Map(pods.map(({ namespace, name, declares }) => [`${namespace}/${name}`, declares])),
  };
}

/** As `kind policy direction rule: message`. */
function found(input: AuditInput, ...kinds: Finding["kind"][]): string[] {
  return audit(input)
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ policy, direction, rule, message }) =>
      [policy, direction, rule, message].filter((each) => each !== undefined).join(" "),
    );
}

const web = aPod("shop", "web", declared(80, "http"));
const redis = aPod("shop", "redis", declared(6379), declared(9121, "metrics"));
const smtp = aPod("mail", "smtp", declared(25, "smtp"), declared(53, "dns", "UDP"));

test("audit() reports nothing of a cluster in which every pod is isolated and every rule matters", () => {
  const policies = ["shop", "mail"].map((namespace) => aPolicy("deny", { namespace, ingress: [], egress: [] }));
  const ingress: PolicyRule[] = [{ peers: [OPEN], ports: [tcp(6379), tcp("metrics")] }];
  assert.deepEqual(
    audit(inputOf([web, redis, smtp], ...policies, aPolicy("redis", { pods: is("app", "redis"), ingress }))),
    [],
  );
});

test("audit() reports namespaces and pods that nothing isolates, a direction at a time", () => {
  const input = inputOf([web, redis, smtp], aPolicy("redis", { pods: is("app", "redis"), ingress: [] }));
  assert.deepEqual(
    audit(input).map(({ kind, namespace, direction, pods }) => [kind, namespace, direction, pods]),
    [
      ["not-isolated", "mail", "ingress", ["smtp"]],
      ["not-isolated", "mail", "egress", ["smtp"]],
      ["not-isolated", "shop", "ingress", ["web"]],
      ["not-isolated", "shop", "egress", ["redis", "web"]],
    ],
  );
  assert.deepEqual(found(input, "not-isolated").slice(1), [
    "egress its only pod (smtp) may dial anybody, no policy of the namespace is about it",
    "ingress anybody may dial 1 of 2 pods (web), no policy selects them",
    "egress all 2 pods (redis, web) may dial anybody, no policy of the namespace is about it",
  ]);
});

test("audit() holds nobody to be open whom a ClusterNetworkPolicy may deny something", () => {
  const rule = (action: TierAction) => ({ name: "", action });
  const about = (ingress: readonly TierRule[], egress: readonly TierRule[]): ClusterNetworkPolicy => ({
    ...{ name: "base", uid: "base", generation: 1, tier: "Baseline", priority: 1, ingress, egress },
    subject: { namespaces: is("team", "one"), pods: [] },
  });
  const open = (policy: ClusterNetworkPolicy) =>
    audit({ ...inputOf([web, smtp]), clusterNetworkPolicies: [policy] }).map(
      ({ namespace, direction }) => `${namespace} ${direction}`,
    );
  assert.deepEqual(open(about([rule("Deny")], [rule("Accept")])), ["mail ingress", "mail egress", "shop egress"]);
});

test("audit() looks at one namespace where it is told to, and at peers in all", () => {
  const peers = [{ kind: "pods" as const, namespaces: [], pods: is("app", "smtp") }];
  const input = inputOf([web, smtp], aPolicy("web", { ingress: [{ peers }], egress: [] }));
  assert.deepEqual(audit(input, "shop"), []);
  assert.deepEqual(
    audit(input, "mail").map(({ namespace }) => namespace),
    ["mail", "mail"],
  );
});

test("audit() reports policies that select nothing, and why", () => {
  const input = inputOf(
    [web, redis],
    aPolicy("a", { pods: is("app", "webb"), ingress: [] }),
    aPolicy("b", { pods: [...is("app", "web"), ...is("tier", "x")], ingress: [] }),
    aPolicy("c", { pods: is("app", "host"), ingress: [] }),
    aPolicy("d", { namespace: "empty", ingress: [] }),
  );
  assert.deepEqual(found(input, "selects-nothing"), [
    "d selects no pod: there are no pods in namespace empty",
    "a selects no pod: no pod of namespace shop has app=webb",
    "b selects no pod: no pod of namespace shop has tier=x",
    "c selects no pod: only pods of the host network have these labels (shop/host-0), and those are no pods to policies",
  ]);
});

test("audit() reports peers that match nothing, and why", () => {
  const pods = (fields: object) => ({ kind: "pods" as const, pods: [], ...fields });
  const block = (prefix: string, ...except: string[]) => ({ kind: "block" as const, prefix, except });
  const peers = [
    OPEN,
    pods({ pods: is("app", "api") }),
    pods({ namespaces: is("team", "two") }),
    pods({ namespaces: is("team", "none") }),
    pods({ namespaces: [], pods: is("app", "host") }),
    block("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9"),
    block("10.0.0.0/8", "10.0.0.0/9"),
  ];
  assert.deepEqual(
    found(inputOf([web, redis, smtp], aPolicy("p", { ingress: [{}, { peers }] })), "peer-matches-nothing"),
    [
      "p ingress 2 its peer pods app=api of namespace shop matches nothing: no pod of namespace shop has app=api",
      "p ingress 2 its peer all pods of namespaces team=two matches nothing: no namespace has team=two",
      "p ingress 2 its peer all pods of namespaces team=none matches nothing: there are no pods in namespaces team=none",
      "p ingress 2 its peer pods app=host of all namespaces matches nothing: only pods of the host network have these labels (shop/host-0), and those are no pods to policies",
      "p ingress 2 its peer 10.0.0.0/8 except 10.0.0.0/9, 10.128.0.0/9 matches nothing: its exceptions leave no address of it",
    ],
  );
});

test("audit() reports the same of ClusterNetworkPolicies, where no namespace is asked for", () => {
  const rule = (...peers: TierPeer[]): TierRule => ({ name: "", action: "Accept", peers });
  const policy: ClusterNetworkPolicy = {
    ...{ name: "top", uid: "top", generation: 1, tier: "Admin", priority: 1, problems: ["spec.egress[0]: no rule"] },
    ...{ subject: { namespaces: is("team", "two"), pods: [] }, ingress: [] },
    egress: [
      rule({ kind: "nodes", nodes: is("zone", "a") }, { kind: "nodes", nodes: is("zone", "b") }),
      rule({ kind: "pods", namespaces: [], pods: is("app", "none") }),
    ],
  };
  const node = { name: "n", internalIps: [], podCidrs: [], labels: { zone: "a" } };
  const closed = ["shop", "mail"].map((namespace) => aPolicy("deny", { namespace, ingress: [], egress: [] }));
  const input = { ...inputOf([web, smtp], ...closed), clusterNetworkPolicies: [policy], nodes: new Map([["n", node]]) };
  assert.deepEqual(
    audit(input).map(({ kind, namespace, policy: name, rule: number, message }) => [
      kind,
      namespace,
      name,
      number,
      message,
    ]),
    [
      ["not-understood", "", "top", undefined, "spec.egress[0]: no rule"],
      ["selects-nothing", "", "top", undefined, "selects no pod: no namespace has team=two"],
      ["peer-matches-nothing", "", "top", 1, "its peer nodes zone=b matches nothing: no node has zone=b"],
      [
        ...["peer-matches-nothing", "", "top", 2],
        "its peer pods app=none of all namespaces matches nothing: no pod of the cluster has app=none",
      ],
    ],
  );
  assert.deepEqual(audit(input, "shop"), []);
});

test("audit() reports names of ports that nobody declares who can be dialled", () => {
  const named = (name: string) => [{ protocol: "TCP" as const, port: name }];
  const smtpPeer = { kind: "pods" as const, namespaces: [], pods: is("app", "smtp") };
  const blocks = [{ kind: "block" as const, prefix: "10.0.0.0/8", except: [] }];
  const input = inputOf(
    [web, redis, smtp],
    aPolicy("in", { pods: is("app", "web"), ingress: [{ ports: named("http") }, { ports: named("metrics") }] }),
    aPolicy("out", {
      egress: [
        { ports: named("metrics") },
        { ports: named("nowhere") },
        { peers: [smtpPeer], ports: named("dns") },
        { peers: blocks, ports: named("http") },
        { peers: blocks, ports: named("nowhere") },
      ],
    }),
  );
  assert.deepEqual(found(input, "port-nowhere"), [
    'in ingress 2 its port TCP "metrics" is declared by no pod that the policy selects: it admits nothing',
    'out egress 2 its port TCP "nowhere" is declared by no pod of the cluster: it admits nothing',
    'out egress 3 its port TCP "dns" is declared by no pod among its peers: it admits nothing; what has that name is UDP 53',
    'out egress 5 its port TCP "nowhere" is declared by no pod of the cluster: it admits nothing',
  ]);
});

test("audit() gives a hint about numbers that nobody declares, and only where all declare ports", () => {
  const ingress = [{ ports: [tcp(80), tcp(81), tcp(6000, 6400), tcp(7000, 7100)] }];
  const policy = aPolicy("p", { ingress });
  const silent = aPod("shop", "silent");
  const hints = audit(inputOf([web, redis], policy)).filter(({ kind }) => kind === "port-nowhere");
  assert.deepEqual(
    hints.map(({ port, hint, message }) => [port, hint, message]),
    [
      [
        2,
        true,
        "its port TCP 81 is declared by no pod that the policy selects; they declare TCP 6379, TCP 80, TCP 9121 (containers may listen on what they do not declare)",
      ],
      [
        4,
        true,
        "its port TCP 7000-7100 is declared by no pod that the policy selects; they declare TCP 6379, TCP 80, TCP 9121 (containers may listen on what they do not declare)",
      ],
    ],
  );
  assert.deepEqual(found(inputOf([web, redis, silent], policy), "port-nowhere"), []);
  const egress = [
    { ports: [tcp(81)] },
    { peers: [OPEN], ports: [tcp(81)] },
    { peers: [OPEN, { kind: "block" as const, prefix: "10.0.0.0/8", except: [] }], ports: [tcp(81)] },
  ];
  const out = audit(inputOf([web, redis], aPolicy("p", { egress }))).filter(({ kind }) => kind === "port-nowhere");
  assert.deepEqual(
    out.map(({ rule }) => rule),
    [2],
    "outside of pods nobody knows the ports",
  );
});

test("audit() reports what was not understood, and shadowed rules with the rule that holds them", () => {
  const input = inputOf(
    [web],
    aPolicy("a", { ingress: [{ ports: [tcp(80)] }], problems: ["spec.egress: expected a list, found string"] }),
    aPolicy("b", { ingress: [{ ports: [tcp(80)] }, { ports: [tcp(79, 90)] }] }),
  );
  assert.deepEqual(found(input, "not-understood", "shadowed-rule"), [
    "a spec.egress: expected a list, found string",
    "a ingress 1 changes nothing: ingress rule 2 of shop/b admits all that it admits, for the same pods",
    "b ingress 1 changes nothing: ingress rule 2 of the same policy admits all that it admits, for the same pods",
  ]);
  assert.deepEqual(audit(input).find(({ kind }) => kind === "shadowed-rule")?.by, { policy: "b", rule: 2 });
});

test("audit() reports exactly the pods, policies and peers that asking each pod alone finds", () => {
  const random = randomNumbers(41);
  const counts = { "not-isolated": 0, "selects-nothing": 0, "peer-matches-nothing": 0 };
  for (let round = 0; round < 300; round++) {
    const { policies, ...cluster } = randomPolicyInput(random);
    const input = { ...cluster, policies, hostPods: [], declaredPorts: new Map() };
    const findings = audit(input);
    const names = (kind: Finding["kind"]) =>
      findings
        .filter((each) => each.kind === kind)
        .map(({ policy, direction, rule, peer }) => [policy, direction, rule, peer].join(" "));
    const open = findings.flatMap(({ namespace, direction, pods = [] }) =>
      pods.map((name) => `${namespace}/${name} ${direction}`),
    );
    const selected = (policy: ClusterPolicy, pod: PolicyPod) =>
      pod.namespace === policy.namespace && matchesSelector(policy.pods, pod.labels);
    const directions = ["ingress", "egress"] as const;
    const expectedOpen = cluster.pods.flatMap((pod) =>
      directions
        .filter((direction) => !policies.some((policy) => policy[direction] !== undefined && selected(policy, pod)))
        .map((direction) => `${pod.namespace}/${pod.name} ${direction}`),
    );
    assert.deepEqual(open.sort(), expectedOpen.sort());
    const idle = policies.filter((policy) => !cluster.pods.some((pod) => selected(policy, pod)));
    assert.deepEqual(names("selects-nothing").sort(), idle.map(({ name }) => `${name}   `).sort());
    const lonely = policies.flatMap((policy) =>
      directions.flatMap((direction) =>
        (policy[direction] ?? []).flatMap(({ peers = [] }, r) =>
          peers.flatMap((peer, p) =>
            peer.kind === "pods" &&
            !cluster.pods.some((pod) => isSelected(selectionOf(peer, policy.namespace), pod, cluster))
              ? [`${policy.name} ${direction} ${r + 1} ${p + 1}`]
              : [],
          ),
        ),
      ),
    );
    assert.deepEqual(names("peer-matches-nothing").sort(), lonely.sort());
    counts["not-isolated"] += open.length;
    counts["selects-nothing"] += idle.length;
    counts["peer-matches-nothing"] += lonely.length;
  }
  for (const [kind, count] of Object.entries(counts)) assert.ok(count > 100, `${kind}: ${count}`);
});
