/** ClusterNetworkPolicies with real sockets: the cases of test/conformance/cluster-network-policy, and what agents tell. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { KubeClient } from "../../src/kube/client.ts";
import { loadConnection } from "../../src/kube/config.ts";
import { clusterNetworkPolicies, events, networkPolicies, type ObjectAddress } from "../../src/kube/resource.ts";
import { UNDERSTOOD } from "../../src/model/cluster-network-policy.ts";
import { POLICY_TABLES } from "../../src/model/marks.ts";
import {
  houses,
  type Manifest,
  PORTS,
  parseProbe,
  type TierProbe,
  tierCases,
} from "../conformance/cluster-network-policy/cases.ts";
import { clusterPolicy, ofHouse, type Rule, rule } from "../conformance/cluster-network-policy/manifests.ts";
import { eventually } from "./lab-fixture.ts";
import { ipv6Of, namespaceObject, podAt } from "./policies-fixture.ts";
import { SETTLED_MS, ServiceLab } from "./services-fixture.ts";

const NAME = "cnp";
/** A SYN that is let through is answered by the kernel in less than a millisecond. */
const SILENCE_MS = 400;
const ANSWER_MS = 2000;
/** A definition that came back is found by then. */
const LOOKED_AGAIN_MS = 60_000;
/** Of the pods of the host network, for the cases that dial nodes. */
const NODE_PORTS = [
  ...[7080, 7081, 7082].map((containerPort) => ({ containerPort })),
  ...[7053, 7054].map((containerPort) => ({ containerPort, protocol: "UDP" })),
];

const lab = new ServiceLab(NAME);
const places = new Map(houses.flatMap(({ house, pods }) => pods.map((pod) => [pod.name, { house, ...pod }] as const)));
const applied = new Map<string, ObjectAddress>();
let client: KubeClient | undefined;
let hasSctp = false;

function manifests(): object[] {
  const ports = PORTS.map(({ name, port, protocol }) => ({ name, containerPort: port, protocol }));
  const pods = [...places.values()].map(({ house, name, node, ip }) => {
    const labels = { "conformance-house": house, "statefulset.kubernetes.io/pod-name": name };
    return podAt({ namespace: house, name, node, ips: [ip, ipv6Of(ip)], labels }, ports);
  });
  const onNode = {
    ...{ apiVersion: "v1", kind: "Pod", metadata: { namespace: "default", name: "node3-ports" } },
    spec: {
      hostNetwork: true,
      nodeName: "node3",
      containers: [{ name: "main", image: "responder", ports: NODE_PORTS }],
    },
  };
  return [...houses.map(({ house }) => namespaceObject(house, { "conformance-house": house })), ...pods, onNode];
}

function api(): KubeClient {
  assert.ok(client, "the lab is up");
  return client;
}

before(async () => {
  await lab.up(manifests(), ["--nodes", "3", "--subnets", "2", "--cluster-network-policies"]);
  client = new KubeClient(await loadConnection({ kubeconfig: lab.home.kubeconfig(NAME) }));
  for (const node of lab.nodes) await lab.kubectl("label", "node", node, "kubernetes.io/os=linux", "--overwrite");
  const [sctp] = await lab.dial([
    { from: "gryffindor/gryffindor-0", to: "ravenclaw/ravenclaw-0", port: 9, protocol: "SCTP" },
  ]);
  hasSctp = sctp?.error !== "EPROTONOSUPPORT";
});
afterEach(() => setPolicies([]));
after(async () => {
  client?.close();
  await lab.close();
});

/** These and no others. */
async function setPolicies(policies: readonly Manifest[]): Promise<void> {
  const wanted = new Map(policies.map((policy) => [keyOf(addressOf(policy)), policy]));
  for (const [key, address] of applied) {
    if (wanted.has(key)) continue;
    await api().delete(address);
    applied.delete(key);
  }
  for (const [key, policy] of wanted) {
    const address = addressOf(policy);
    await api().patch(address, policy, { type: "apply", fieldManager: "e2e", force: true });
    applied.set(key, address);
  }
}

function addressOf(policy: Manifest): ObjectAddress {
  const { namespace, name } = policy["metadata"] as { namespace?: string; name: string };
  if (namespace === undefined) return { resource: clusterNetworkPolicies, name };
  return { resource: networkPolicies, namespace, name };
}

const keyOf = ({ resource, namespace = "", name }: ObjectAddress) => `${resource.plural} ${namespace}/${name}`;

/** Silence, or the pod that was meant: anything else is wrong. Both families. */
async function holds(probes: readonly TierProbe[]): Promise<void> {
  const rows = probes.flatMap((probe) => addressesOf(probe.to).map((to) => ({ ...probe, address: to })));
  const results = await lab.dial(
    rows.map(({ from, address, port, protocol, allowed }) => ({
      ...{ from: podOf(from), to: address, port, protocol, timeoutMs: allowed ? ANSWER_MS : SILENCE_MS },
    })),
  );
  const wrong = rows.flatMap(({ from, to, address, protocol, port, allowed }, i) => {
    const { answer, error } = results[i] ?? {};
    const isRight = allowed ? answer === podOf(to) : error === "ETIMEDOUT";
    return isRight ? [] : [`${from} > ${to} (${address}) ${protocol} ${port}: ${answer ?? error}, not ${allowed}`];
  });
  assert.deepEqual(wrong, []);
}

function addressesOf(name: string): readonly string[] {
  const place = places.get(name);
  return place === undefined ? lab.addresses(name) : [place.ip, ipv6Of(place.ip)];
}

/** "namespace/name"; what answers on a node is a pod of its network. */
function podOf(name: string): string {
  const place = places.get(name);
  return place === undefined ? `default/${name}-ports` : `${place.house}/${name}`;
}

function possible(probes: readonly string[]): TierProbe[] {
  return probes.map(parseProbe).filter(({ protocol }) => hasSctp || protocol !== "SCTP");
}

for (const { id, steps } of tierCases) {
  test(id, async (t) => {
    let isWhole = true;
    for (const { title, policies, probes, deviation } of steps) {
      await setPolicies(policies);
      const some = possible(probes);
      isWhole &&= some.length === probes.length;
      const wanted = some.map((probe) => (deviation === undefined ? probe : { ...probe, allowed: !probe.allowed }));
      await eventually(SETTLED_MS, () => holds(wanted)).catch((error: Error) => {
        throw new Error(`${title}: ${error.message}`, { cause: error });
      });
    }
    if (!isWhole) t.skip("this kernel has no SCTP: its probes are left out");
  });
}

const denying = (name: string, ...egress: readonly Rule[]) =>
  clusterPolicy({ name, tier: "Admin", priority: 1, subject: ofHouse("gryffindor"), egress });

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
}

async function understood(name: string): Promise<Condition | undefined> {
  const { status } = await api().get({ resource: clusterNetworkPolicies, name });
  const { conditions = [] } = (status ?? {}) as { conditions?: Condition[] };
  return conditions.find(({ type }) => type === UNDERSTOOD);
}

test("what is not supported is closed, and the policy says so by its condition and an Event", async () => {
  const open = parseProbe("gryffindor-0 > ravenclaw-0 TCP 80: allowed");
  const shut = { ...open, allowed: false };
  await setPolicies([
    denying("names", rule("Accept", { domainNames: ["example.com"] }), rule("Deny", ofHouse("slytherin"))),
  ]);
  await eventually(SETTLED_MS, async () => {
    const condition = await understood("names");
    assert.equal(condition?.status, "False");
    assert.match(condition.message, /domainNames: peers by domain name are not supported: the rule matches nothing/);
  });
  await eventually(SETTLED_MS, async () => {
    const found = await api().list(events, { fieldSelector: "involvedObject.name=names" });
    const reasons = found.map((event) => [event["reason"], (event["involvedObject"] as { kind?: string }).kind]);
    assert.deepEqual(reasons, [["PolicyNotUnderstood", "ClusterNetworkPolicy"]]);
  });
  await holds([open, parseProbe("gryffindor-0 > slytherin-0 TCP 80: denied")]);
  const row = await lab.kubectl("get", "cnp", "names", "--no-headers");
  assert.match(row, /^names\s+Admin\s+1\s/);
  await setPolicies([denying("names", rule("Deny", { domainNames: ["example.com"] }))]);
  await eventually(SETTLED_MS, () => holds([shut]));
  await setPolicies([denying("names", rule("Deny", ofHouse("slytherin")))]);
  await eventually(SETTLED_MS, () => holds([open]));
  await eventually(SETTLED_MS, async () => assert.equal((await understood("names"))?.status, "True"));
});

test("what a pod's own node dials arrives, and a pod reaches itself, whatever the Admin tier denies", async () => {
  const everybody = rule("Deny", { networks: ["0.0.0.0/0", "::/0"] });
  const anyPod = rule("Deny", { namespaces: {} });
  const subject = ofHouse("gryffindor");
  await setPolicies([
    clusterPolicy({ name: "all", tier: "Admin", priority: 0, subject, ingress: [anyPod], egress: [everybody] }),
  ]);
  await eventually(SETTLED_MS, () => holds(possible(["ravenclaw-0 > gryffindor-0 TCP 80: denied"])));
  const [from4 = "", from6 = ""] = addressesOf("gryffindor-0");
  const results = await lab.dial([
    ...[from4, from6].map((to) => ({ from: "node/node1", to, port: 80, timeoutMs: ANSWER_MS })),
    ...[from4, from6].map((to) => ({ from: "gryffindor/gryffindor-0", to, port: 80, timeoutMs: ANSWER_MS })),
  ]);
  assert.deepEqual(
    results.map(({ answer }) => answer),
    Array(4).fill("gryffindor/gryffindor-0"),
  );
});

test("with the last policy its tables are gone, with the definition the policies, and both come back", async () => {
  const tables = (expected: RegExp, isThere: boolean) =>
    eventually(SETTLED_MS, async () => {
      for (const node of lab.nodes) {
        const text = await lab.exec(`node/${node}`, "nft", "list", "tables");
        assert.equal(expected.test(text), isThere, `${node}: ${text}`);
      }
    });
  const ours = new RegExp(POLICY_TABLES[4].name);
  const everywhere = clusterPolicy({
    ...{ name: "everywhere", tier: "Baseline", priority: 1, subject: { namespaces: {} } },
    ingress: [rule("Deny", ofHouse("durmstrang"))],
  });
  await setPolicies([everywhere]);
  await tables(ours, true);
  await setPolicies([]);
  await tables(ours, false);
  await setPolicies([everywhere]);
  await tables(ours, true);
  await lab.kubectl("delete", "crd", "clusternetworkpolicies.policy.networking.k8s.io");
  applied.clear();
  await tables(ours, false);
  await holds(possible(["durmstrang-0 > gryffindor-0 TCP 80: allowed"]));
  await lab.kubectl("apply", "-f", "deploy/crds/clusternetworkpolicies.policy.networking.k8s.io.yaml");
  await setPolicies([everywhere]);
  const denied = possible(["durmstrang-0 > gryffindor-0 TCP 80: denied"]);
  await eventually(LOOKED_AGAIN_MS, () => holds(denied));
});
