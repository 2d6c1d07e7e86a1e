/** `breakwater policy explain` and `audit`, from a machine that has a kubeconfig alone, beside what sockets say. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import type { ProbeRequest } from "../../src/lab/control-protocol.ts";
import { eventually, type Outcome } from "./lab-fixture.ts";
import { namespaceObject, podAt, policy } from "./policies-fixture.ts";
import type { NetworkPolicyFinding, PolicyExplanation } from "./policy-documents.ts";
import { SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const NAME = "explain";
const SILENCE_MS = 400;
const ANSWER_MS = 2000;
const PODS = {
  "shop/web": { node: "node1", ips: ["10.244.1.21", "fd00:10:244:1::21"] },
  "shop/redis": { node: "node2", ips: ["10.244.2.22", "fd00:10:244:2::22"] },
  "shop/spare": { node: "node1", ips: ["10.244.1.23", "fd00:10:244:1::23"] },
  "mail/smtp": { node: "node3", ips: ["10.244.3.24", "fd00:10:244:3::24"] },
} as const;
const names = Object.keys(PODS) as (keyof typeof PODS)[];

const lab = new ServiceLab(NAME);

function manifests(): object[] {
  const pods = names.map((key) => {
    const [namespace = "", name = ""] = key.split("/");
    const ports = [{ containerPort: 80, name: "http" }, { containerPort: 81 }];
    return podAt({ namespace, name, ...PODS[key], labels: { app: name } }, ports);
  });
  const command = ["sleep", "100000"];
  const host = {
    ...{ apiVersion: "v1", kind: "Pod", metadata: { namespace: "mail", name: "host", labels: { app: "host" } } },
    spec: { hostNetwork: true, nodeName: "node2", containers: [{ name: "main", image: "sleep", command }] },
  };
  const balanced = service("redis", { selector: { app: "redis" }, type: "NodePort" }, { namespace: "shop" });
  return [namespaceObject("shop"), namespaceObject("mail"), ...pods, host, balanced];
}

/** Every side of the matter: closed both ways, by labels, by a named port, by a block of one family, not understood. */
const POLICIES = [
  policy("shop", "closed", { policyTypes: ["Ingress", "Egress"] }),
  policy("shop", "web-out", {
    podSelector: { matchLabels: { app: "web" } },
    policyTypes: ["Egress"],
    egress: [{ to: [{ podSelector: { matchLabels: { app: "redis" } } }], ports: [{ port: "http" }] }],
  }),
  policy("shop", "redis-in", {
    podSelector: { matchLabels: { app: "redis" } },
    ingress: [
      { from: [{ podSelector: {} }], ports: [{ port: 80 }] },
      {
        from: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "mail" } } }],
        ports: [{ port: 81 }],
      },
    ],
  }),
  policy("mail", "four", { ingress: [{ from: [{ ipBlock: { cidr: "10.244.1.0/24" } }] }] }),
  policy("shop", "spare-out", {
    podSelector: { matchLabels: { app: "spare" } },
    policyTypes: ["Egress"],
    egress: [{ to: [{ namespaceSelector: {} }] }],
  }),
];

before(() => lab.up(manifests(), ["--nodes", "3", "--subnets", "2", "--cluster-network-policies"]));
afterEach(() => lab.kubectl("delete", "networkpolicies", "--all", "--all-namespaces"));
after(() => lab.close());

function run(...args: string[]): Promise<Outcome> {
  return lab.home.program("policy", ...args, "--kubeconfig", lab.home.kubeconfig(NAME));
}

async function explain(from: string, to: string): Promise<PolicyExplanation> {
  const { code, stdout, stderr } = await run("explain", from, to, "-o", "json");
  assert.ok(code === 0 || code === 1, stderr);
  const answer: PolicyExplanation = JSON.parse(stdout);
  assert.equal(code, answer.allowed ? 0 : 1);
  return answer;
}

/** Without a port: all that the pod declares. */
async function explainPorts(from: string, to: string): Promise<readonly PolicyExplanation[]> {
  const { code, stdout, stderr } = await run("explain", from, to, "-o", "json");
  assert.ok(code === 0 || code === 1, stderr);
  const { allowed, ports }: { allowed: boolean; ports: readonly PolicyExplanation[] } = JSON.parse(stdout);
  assert.deepEqual([code, ports.map((each) => each.to.port)], [allowed ? 0 : 1, [80, 81]]);
  return ports;
}

/** The words of a refusal, which is exit code 2. */
async function refusal(from: string, to: string): Promise<string> {
  const { code, stderr } = await run("explain", from, to);
  assert.equal(code, 2, stderr);
  return stderr;
}

interface Row extends ProbeRequest {
  readonly allowed: boolean;
}

async function dialled(rows: readonly Row[]): Promise<void> {
  const results = await lab.dial(
    rows.map(({ from, to, port, allowed }) => ({ from, to, port, timeoutMs: allowed ? ANSWER_MS : SILENCE_MS })),
  );
  const wrong = rows.filter(({ allowed }, i) => (allowed ? !results[i]?.allowed : results[i]?.error !== "ETIMEDOUT"));
  assert.deepEqual(wrong, [], "sockets say otherwise");
}

/** As explained, each pair of addresses on its own. */
const rowsOf = (from: string, { to, ways }: PolicyExplanation): Row[] =>
  ways.map((way) => ({ from, to: way.to, port: to.port, allowed: way.allowed }));

const settle = (rows: readonly Row[]) => eventually(SETTLED_MS, () => dialled(rows));

test("explain says what sockets say, of all pairs of pods, both families and two ports", async () => {
  await lab.apply(...POLICIES);
  const pairs = names.flatMap((from) => names.flatMap((to) => (from === to ? [] : [[from, to] as const])));
  const answers = (await Promise.all(pairs.map(([from, to]) => explainPorts(from, to)))).flat();
  const rows = answers.flatMap((answer) => rowsOf(answer.from.name, answer));
  assert.equal(rows.length, 2 * 2 * pairs.length);
  const allowed = rows.filter((row) => row.allowed).length;
  assert.ok(allowed > 5 && allowed < rows.length - 5, `${allowed} of ${rows.length} are allowed`);
  assert.ok(
    answers.some(({ ways: [four, six] }) => four?.allowed !== six?.allowed),
    "families differ somewhere",
  );
  await settle(rows);
});

test("what explain suggests of a denial admits it, and only it, with real sockets", async () => {
  await lab.apply(...POLICIES);
  const denied = [
    ["shop/spare", "shop/web:80"],
    ["shop/spare", "shop/redis:81"],
    ["mail/smtp", "shop/redis:http"],
    ["shop/web", "mail/smtp:81"],
  ] as const;
  const before = await Promise.all(denied.map(([from, to]) => explain(from, to)));
  const rows = before.flatMap((answer, i) => rowsOf(denied[i]?.[0] ?? "", answer));
  await settle(rows);
  const suggested = before.flatMap(({ suggestions }) => suggestions.map((each) => each.policy));
  const directions = suggested.flatMap(({ spec }) => spec["policyTypes"] as string[]).sort();
  assert.deepEqual(directions, ["Egress", "Ingress", "Ingress", "Ingress", "Ingress"]);
  await lab.apply(...suggested);
  const after = await Promise.all(denied.map(([from, to]) => explain(from, to)));
  assert.deepEqual(
    after.map((each) => each.allowed),
    denied.map(() => true),
  );
  const others = await Promise.all([explain("shop/spare", "shop/web:81"), explain("shop/web", "mail/smtp:80")]);
  const stillDenied = others.flatMap((answer) => rowsOf(answer.from.name, answer));
  assert.ok(others.every((answer) => !answer.allowed));
  await settle([...rows.map((row) => ({ ...row, allowed: true })), ...stillDenied]);
});

test("explain knows nodes and pods of the host network as policies do", async () => {
  await lab.apply(policy("shop", "closed", { policyTypes: ["Ingress", "Egress"] }));
  const own = await explain("mail/host", "shop/redis:80");
  const other = await explain("mail/host", "shop/web:80");
  const out = await explain("shop/redis", "mail/host:9098");
  assert.deepEqual([own.allowed, other.allowed, out.allowed], [true, false, true]);
  assert.equal(own.from.kind, "node");
  assert.match(own.notes.join(), /on the host network: to policies it is no pod but node node2/);
  const dials = (to: keyof typeof PODS, allowed: boolean) =>
    PODS[to].ips.map((ip) => ({ from: "node/node2", to: ip, port: 80, allowed }));
  await settle([...dials("shop/redis", true), ...dials("shop/web", false)]);
  // As seen by policies it comes from the tunnel, or from the node's own address: what is suggested admits both.
  await lab.apply(...other.suggestions.map((each) => each.policy));
  await settle(dials("shop/web", true));
});

test("explain leads from a Service to its endpoints, and from a name that nobody has to those that there are", async () => {
  const ip = await lab.kubectl("-n", "shop", "get", "service", "redis", "-o", "jsonpath={.spec.clusterIP}");
  const port = await lab.kubectl("-n", "shop", "get", "service", "redis", "-o", "jsonpath={.spec.ports[0].nodePort}");
  const node = lab.addresses("node1")[0];
  for (const target of [`${ip}:80`, `${node}:${port}`])
    assert.match(
      await refusal("shop/web", target),
      /is Service shop\/redis: .*\n {2}-> Ask about its endpoints: shop\/redis:80\/TCP/,
    );
  assert.match(await refusal("shop/wob", "shop/redis:80"), /There is no pod shop\/wob/);
  assert.match(
    await refusal("shap/web", "shop/redis:80"),
    /There is no namespace shap .*\n {2}-> There are default, .*shop/,
  );
  const { code, stderr } = await run("explain", "shop/web", "redis:80");
  assert.deepEqual([code, /BW_USAGE/.test(stderr)], [1, true]);
});

test("explain goes by ClusterNetworkPolicies, where agents enforce them", async () => {
  const denies = {
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata: { name: "no-mail" },
    spec: {
      ...{
        tier: "Admin",
        priority: 20,
        subject: { namespaces: { matchLabels: { "kubernetes.io/metadata.name": "shop" } } },
      },
      ingress: [{ action: "Deny", from: [{ namespaces: { matchLabels: { "kubernetes.io/metadata.name": "mail" } } }] }],
    },
  };
  await lab.apply(denies);
  // Agents say in its status that they have taken it up.
  const found = await eventuallyDenied("mail/smtp", "shop/redis:80");
  assert.match(
    found.ways[0]?.ingress.why ?? "",
    /rule 1 of ClusterNetworkPolicy no-mail \(Admin, priority 20\) denies it/,
  );
  await settle(rowsOf("mail/smtp", found));
  await lab.apply(...found.suggestions.map((each) => each.policy));
  const other = rowsOf("mail/smtp", found).map((row) => ({ ...row, port: 81 }));
  await settle([...rowsOf("mail/smtp", found).map((row) => ({ ...row, allowed: true })), ...other]);
  assert.equal((await explain("mail/smtp", "shop/redis:80")).allowed, true);
  await lab.kubectl("delete", "clusternetworkpolicies", "--all");
});

async function eventuallyDenied(from: string, to: string): Promise<PolicyExplanation> {
  let answer: PolicyExplanation | undefined;
  await eventually(SETTLED_MS, async () => {
    answer = await explain(from, to);
    assert.equal(answer.allowed, false);
  });
  assert.ok(answer);
  return answer;
}

test("audit finds whom nothing isolates, and what of the policies does nothing", async () => {
  await lab.apply(
    ...POLICIES,
    policy("shop", "nobody", { podSelector: { matchLabels: { app: "gone" } } }),
    policy("shop", "shadow", {
      podSelector: { matchLabels: { app: "redis" } },
      ingress: [
        { from: [{ podSelector: { matchLabels: { app: "web" } } }], ports: [{ port: 80 }] },
        { from: [{ podSelector: { matchLabels: { app: "ghost" } } }], ports: [{ port: "nowhere" }, { port: 82 }] },
      ],
    }),
  );
  const { code, stdout, stderr } = await run("audit", "-o", "json", "-n", "shop");
  assert.equal(code, 1, stderr);
  const { findings }: { findings: NetworkPolicyFinding[] } = JSON.parse(stdout);
  assert.deepEqual(
    findings.map(({ kind, policy: name, rule, hint = false }) => [kind, name, rule, hint]),
    [
      ["selects-nothing", "nobody", undefined, false],
      ["peer-matches-nothing", "shadow", 2, false],
      ["port-nowhere", "shadow", 2, false],
      ["port-nowhere", "shadow", 2, true],
      ["shadowed-rule", "shadow", 1, false],
    ],
  );
  const mail = await run("audit", "--namespace", "mail");
  assert.equal(mail.code, 1);
  assert.match(mail.stdout, /namespace mail: its only pod \(smtp\) may dial anybody/);
  assert.equal((await run("audit", "--namespace", "nowhere")).code, 2);
});

test("audit of a namespace in which all is well finds nothing", async () => {
  await lab.apply(policy("mail", "closed", { policyTypes: ["Ingress", "Egress"] }));
  const { code, stdout } = await run("audit", "-n", "mail");
  assert.deepEqual([code, stdout], [0, "Nothing found in 1 policies and 1 pods (without those of the host network)\n"]);
});
