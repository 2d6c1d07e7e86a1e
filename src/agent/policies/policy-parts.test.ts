/** Policies from the API to the kernel in memory, on two nodes: what is denied is counted and logged, and Events are written. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { FakeConntrack } from "../../kernel/fake/conntrack.ts";
import { FakeHost } from "../../kernel/fake/host.ts";
import { FakePacketLog } from "../../kernel/fake/packet-log.ts";
import { supervise } from "../../kernel/fake/supervision.ts";
import { KubeClient } from "../../kube/client.ts";
import { systemClock } from "../../kube/clock.ts";
import { startClusterSource } from "../../kube/cluster-source.ts";
import { ScriptedApi } from "../../kube/testing/scripted-api.ts";
import { until } from "../../kube/testing/until.ts";
import { NFLOG_GROUP, POLICY_TABLES } from "../../model/marks.ts";
import type { PoliciesReport } from "../../model/policy-report.ts";
import type { LocalPod } from "../../model/state.ts";
import { createMetrics } from "../metrics.ts";
import { PolicyParts } from "./policy-parts.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Nobody waits longer than he must. */
const clock = { ...systemClock, random: () => 0 };
const POLICY = { namespace: "db", name: "odd", uid: "u1" };

/** The pod db/postgres of node1 and default/web of node2. */
async function cluster(): Promise<ScriptedApi> {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  for (const name of ["default", "db"]) api.put("namespaces", { metadata: { name } });
  const pod = (namespace: string, name: string, nodeName: string, ip: string) =>
    api.put("pods", { metadata: { namespace, name, uid: name }, spec: { nodeName }, status: { podIPs: [{ ip }] } });
  pod("db", "postgres", "node1", "10.244.1.5");
  pod("default", "web", "node2", "10.244.2.5");
  return api;
}

class Agent {
  readonly host = new FakeHost();
  readonly hand;
  readonly packetLog = new FakePacketLog();
  readonly metrics = createMetrics();
  readonly lines: string[] = [];
  readonly parts: PolicyParts;

  constructor(
    api: ScriptedApi,
    nodeName: string,
    { logDenied = 0, hasNflog = true, rulesCanLog = true, clusterNetworkPolicies = false, begins = true } = {},
  ) {
    const path = `/run/netns/${nodeName}`;
    this.hand = this.host.addNamespace(path);
    this.packetLog.isThere = hasNflog;
    if (!rulesCanLog) this.host.failures.fail({ operation: "commit", errno: "ENOENT", object: "breakwater-probe" });
    const say = (_: object, message: string) => void this.lines.push(message);
    const log = { debug: say, info: say, warn: say, error: say };
    const client = new KubeClient(api.connection());
    const source = startClusterSource({ client, nodeName, onChange: () => undefined, onProblem: () => undefined });
    const local = { containerId: "c", ifname: "eth0", netns: "/run/netns/c" };
    const attached: LocalPod[] = nodeName === "node1" ? [{ ...local, name: "db/postgres", ips: ["10.244.1.5"] }] : [];
    this.parts = new PolicyParts({
      config: {
        nodeName,
        ...{ routing: "auto", vni: 1, vxlanPort: 4789, masquerade: true, masqueradeExceptions: [] },
        ...(logDenied === 0 ? {} : { logDenied }),
        clusterNetworkPolicies,
      },
      kernel: {
        nftables: this.host.kernel(path).nftables,
        conntrack: new FakeConntrack(supervise(path, this.host.failures, this.host.log)),
        openPacketLog: this.packetLog.open,
      },
      client,
      cluster: source,
      attached: () => attached,
      metrics: this.metrics,
      log,
      clock,
    });
    if (begins) this.parts.begin();
    cleanups.push(async () => {
      await this.parts.stop();
      await source.stop();
      client.close();
    });
  }

  /** The chain that drops what is denied to the pod. */
  async denying(): Promise<string> {
    const chains = () => this.hand.nftables.table(POLICY_TABLES[4])?.chains.map(({ name }) => name) ?? [];
    const found = () => chains().find((name) => name.startsWith("ingress-denied-"));
    await until("the pod is isolated", () => found() !== undefined);
    return found() ?? "";
  }

  report(): PoliciesReport {
    return this.parts.document(new URL("http://agent/policies")) as PoliciesReport;
  }
}

function putPolicy(api: ScriptedApi, ingress: unknown): void {
  api.put("networkpolicies", { metadata: POLICY, spec: { podSelector: {}, policyTypes: ["Ingress"], ingress } });
}

const RESEMBLES = [{ from: [{ podSelector: { matchExpressions: [{ key: "app", operator: "Resembles" }] } }] }];

interface WrittenEvent {
  readonly name: string;
  readonly type: string;
  readonly message: string;
}

function events(api: ScriptedApi): WrittenEvent[] {
  const writes = api.requests.filter(({ method, path }) => method === "POST" && path.endsWith("/namespaces/db/events"));
  return writes.map(({ body }) => {
    const { metadata, type, message, involvedObject } = JSON.parse(body);
    assert.deepEqual(
      [involvedObject.kind, involvedObject.namespace, involvedObject.name, involvedObject.uid],
      ["NetworkPolicy", "db", "odd", "u1"],
    );
    return { name: metadata.name, type, message };
  });
}

test("PolicyParts leave the kernel's rules alone, and let no pod in, until the node's own pods are known", async () => {
  const api = await cluster();
  putPolicy(api, []);
  const agent = new Agent(api, "node1", { begins: false });
  const lists = (resource: string) => () => api.requests.some(({ path }) => path.endsWith(`/${resource}`));
  for (const resource of ["networkpolicies", "pods", "namespaces"])
    await until(`${resource} are read`, lists(resource));
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(agent.hand.nftables.table(POLICY_TABLES[4]), undefined);
  assert.match(agent.parts.enforcer.failure ?? "", /have not been read/);
  agent.parts.begin();
  await agent.denying();
  assert.equal(agent.parts.enforcer.failure, undefined);
});

test("PolicyParts of every node say in one Event what of a policy is not understood, and that it is mended", async () => {
  const api = await cluster();
  putPolicy(api, RESEMBLES);
  const agents = [new Agent(api, "node1"), new Agent(api, "node2")];
  await until("both have written", () => events(api).length === 2);
  const [one, two] = events(api);
  assert.equal(one?.name, two?.name, "the API server keeps one");
  assert.equal(one?.type, "Warning");
  assert.match(
    one?.message ?? "",
    /^spec\.ingress\[0\]\.from\[0\]\.podSelector\S*: .*"Resembles".*: the selector matches nothing$/,
  );
  for (const { parts, metrics } of agents) {
    parts.collect();
    const text = await metrics.registry.metrics();
    assert.match(text, /^breakwater_policies 1$/m);
    assert.match(text, /^breakwater_policies_not_understood 1$/m);
  }
  assert.deepEqual(
    agents[0]?.report().policies.map(({ policy, problems }) => [policy, problems.length]),
    [["db/odd", 1]],
  );
  putPolicy(api, []);
  await until("both have read it again", () => events(api).length === 4);
  const mended = events(api).slice(2);
  assert.deepEqual(
    mended.map(({ type }) => type),
    ["Normal", "Normal"],
  );
  assert.equal(mended[0]?.name, mended[1]?.name);
});

test("PolicyParts count what the kernel drops, in metrics and in their document", async () => {
  const api = await cluster();
  putPolicy(api, []);
  const agent = new Agent(api, "node1");
  const chain = await agent.denying();
  agent.hand.countPackets(POLICY_TABLES[4], chain, 3n, 180n);
  const read = async () => {
    agent.parts.collect();
    const text = await agent.metrics.registry.metrics();
    return text.split("\n").filter((line) => line.startsWith("breakwater_policy_denied_"));
  };
  const labels = '{namespace="db",policy="odd",direction="ingress"}';
  const expected = [
    `breakwater_policy_denied_packets_total${labels} 3`,
    `breakwater_policy_denied_bytes_total${labels} 180`,
  ];
  assert.deepEqual(await read(), expected);
  assert.deepEqual(await read(), expected);
  const { node, failure, logDeniedPerSecond, policies, denials } = agent.report();
  assert.deepEqual([node, failure, logDeniedPerSecond], ["node1", null, null]);
  const count = { packets: 3, bytes: 180 };
  assert.deepEqual(policies, [{ policy: "db/odd", problems: [], denied: { ingress: count, egress: null } }]);
  assert.deepEqual(denials, [{ direction: "ingress", policies: ["db/odd"], ...count }]);
  agent.host.failures.fail({ operation: "counters", errno: "ENOMEM" });
  assert.deepEqual(await read(), expected, "what was known stands");
  api.remove("networkpolicies", "odd", "db");
  await until("nothing is isolated", () => agent.hand.nftables.table(POLICY_TABLES[4]) === undefined);
  assert.deepEqual(await read(), []);
});

test("PolicyParts count what a ClusterNetworkPolicy denies for it alone", async () => {
  const api = await cluster();
  putPolicy(api, []);
  const deny = { action: "Deny", from: [{ namespaces: {} }] };
  const spec = { tier: "Admin", priority: 5, subject: { namespaces: {} }, ingress: [deny] };
  api.put("clusternetworkpolicies", { metadata: { name: "shut", uid: "c1" }, spec });
  const agent = new Agent(api, "node1", { clusterNetworkPolicies: true });
  await agent.denying();
  const chains = () => agent.hand.nftables.table(POLICY_TABLES[4])?.chains.map(({ name }) => name) ?? [];
  const denying = () => chains().filter((name) => name.startsWith("ingress-denied-"));
  await until("both deny", () => denying().length === 2);
  for (const [i, chain] of denying().entries()) agent.hand.countPackets(POLICY_TABLES[4], chain, BigInt(i + 1), 60n);
  const { policies, denials } = agent.report();
  assert.deepEqual(
    policies.map(({ policy }) => policy),
    ["ClusterNetworkPolicy/shut", "db/odd"],
  );
  agent.parts.collect();
  const text = await agent.metrics.registry.metrics();
  const counted = ({ policies: [name = ""], packets }: (typeof denials)[number]) => {
    const [namespace, policy] = name.split("/");
    return `breakwater_policy_denied_packets_total{namespace="${namespace}",policy="${policy}",direction="ingress"} ${packets}`;
  };
  for (const denial of denials) assert.ok(text.split("\n").includes(counted(denial)), text);
  assert.deepEqual(denials.flatMap(({ policies: names }) => names).sort(), ["ClusterNetworkPolicy/shut", "db/odd"]);
});

test("PolicyParts log what is denied by the names of pods and policies, where it is asked for", async () => {
  const api = await cluster();
  putPolicy(api, []);
  const [quiet, agent] = [new Agent(api, "node1"), new Agent(api, "node1", { logDenied: 5 })];
  const prefix = await agent.denying();
  assert.equal(await quiet.denying(), prefix);
  const rules = ({ hand }: Agent) =>
    hand.nftables.table(POLICY_TABLES[4])?.chains.find(({ name }) => name === prefix)?.fingerprints.length ?? 0;
  assert.equal(rules(agent), rules(quiet) + 1, "one more rule, which logs");
  assert.deepEqual([quiet.packetLog.groups, agent.packetLog.groups], [[], [NFLOG_GROUP]]);
  const ends = { family: 4, source: "10.244.2.5", destination: "10.244.1.5" } as const;
  const headers = { ...ends, protocol: 6, sourcePort: 40_000, destinationPort: 5432 };
  agent.packetLog.log(NFLOG_GROUP, [{ prefix, headers }]);
  assert.equal(agent.lines.at(-1), "denied: default/web -> db/postgres:5432/TCP, ingress of db/postgres, by db/odd");
  assert.equal(agent.report().logDeniedPerSecond, 5);
});

for (const lacking of [{ hasNflog: false }, { rulesCanLog: false }]) {
  test(`PolicyParts enforce policies also where the kernel cannot log: ${JSON.stringify(lacking)}`, async () => {
    const api = await cluster();
    putPolicy(api, []);
    const agent = new Agent(api, "node1", { logDenied: 5, ...lacking });
    const prefix = await agent.denying();
    const plain = new Agent(api, "node1");
    assert.equal(await plain.denying(), prefix);
    assert.deepEqual(agent.hand.nftables.table(POLICY_TABLES[4]), plain.hand.nftables.table(POLICY_TABLES[4]));
    assert.ok(agent.lines.includes("denied packets cannot be logged; they are counted"));
    assert.equal(agent.report().logDeniedPerSecond, null);
    assert.equal(agent.host.failures.pending, 0);
  });
}
