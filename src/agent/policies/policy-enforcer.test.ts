/** The enforcer on the kernel in memory: what is committed when, what becomes of failures, which flows are cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { FakeConntrack } from "../../kernel/fake/conntrack.ts";
import { FakeHost } from "../../kernel/fake/host.ts";
import { supervise } from "../../kernel/fake/supervision.ts";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { ClusterNamespace, ClusterNode, ClusterPod } from "../../model/cluster.ts";
import type { ClusterNetworkPolicy } from "../../model/cluster-network-policy.ts";
import { isBreakwaterError } from "../../model/errors.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import type { ClusterPolicy, PolicyPod } from "../../model/policy.ts";
import type { LocalPod } from "../../model/state.ts";
import type { Log } from "../log.ts";
import { PolicyEnforcer } from "./policy-enforcer.ts";

const NODE = "/run/netns/node1";

class Rig implements Disposable {
  readonly host = new FakeHost();
  readonly other = this.host.addNamespace(NODE);
  readonly conntrack = new FakeConntrack(supervise(NODE, this.host.failures, this.host.log));
  readonly clock = new ManualClock();
  readonly policies = new Map<string, ClusterPolicy>();
  readonly clusterPolicies = new Map<string, ClusterNetworkPolicy>();
  readonly pods = new Map<string, PolicyPod>();
  readonly namespaces = new Map<string, ClusterNamespace>();
  readonly nodes = new Map<string, ClusterNode>();
  readonly known = new Map<string, ClusterPod>();
  attached: LocalPod[] = [];
  complete = true;
  /** Keys that pods ever had: each may have changed. */
  readonly #keys = new Set<string>();
  /** How often pods may start that could not before. */
  readyTimes = 0;
  readonly enforcer: PolicyEnforcer;

  constructor() {
    const ignore = () => undefined;
    const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
    this.enforcer = new PolicyEnforcer({
      nodeName: "node1",
      nftables: this.host.kernel(NODE).nftables,
      conntrack: this.conntrack,
      source: {
        policies: () => this.policies,
        clusterNetworkPolicies: () => this.clusterPolicies,
        pods: () => this.pods,
        takeChangedPods: () => this.#everyKey(),
        complete: () => this.complete,
      },
      namespaces: () => this.namespaces,
      nodes: () => this.nodes,
      ownPods: () => new Map(),
      attached: () => this.attached,
      readPod: async (namespace, name) => this.known.get(`${namespace}/${name}`),
      onEnforced: () => {
        this.readyTimes++;
      },
      log,
      clock: this.clock,
    });
  }

  [Symbol.dispose](): void {
    this.enforcer[Symbol.dispose]();
  }

  #everyKey(): ReadonlySet<string> {
    for (const key of this.pods.keys()) this.#keys.add(key);
    return this.#keys;
  }

  /** A pod of the API; of this node it is attached, too. */
  addPod(key: string, ip: string, nodeName = "node1"): void {
    const [namespace = "", name = ""] = key.split("/");
    this.pods.set(key, { namespace, name, labels: { app: name }, nodeName, ips: [ip], ports: [] });
    if (nodeName === "node1") this.attached.push(local(key, ip));
  }

  setPolicy(key: string, fields: Partial<ClusterPolicy>): void {
    const [namespace = "", name = ""] = key.split("/");
    this.policies.set(key, { namespace, name, uid: key, pods: [], ...fields });
  }

  setClusterPolicy(name: string, fields: Partial<ClusterNetworkPolicy>): void {
    const head = { name, uid: name, generation: 1, tier: "Admin", priority: 1 } as const;
    const subject = { namespaces: [], pods: [] };
    this.clusterPolicies.set(name, { ...head, subject, ingress: [], egress: [], ...fields });
  }

  async elapse(ms = 1000): Promise<void> {
    await this.host.settled();
    this.clock.advance(ms);
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    await this.host.settled();
  }

  /** The API says something new. */
  async follow(): Promise<void> {
    this.enforcer.request();
    await this.elapse();
  }

  /** Addresses whose packets a chain looks at; undefined without a table. */
  isolated(direction: "ingress" | "egress", family: 4 | 6 = 4): string[] | undefined {
    const table = this.other.nftables.table(POLICY_TABLES[family]);
    const map = table?.sets.find(({ name }) => name === direction);
    return table && (map?.elements ?? []).map((element) => element.split(" ")[0] ?? "").sort();
  }

  commits(): number {
    return this.host.log.takeLines().filter((line) => line.includes("commit")).length;
  }
}

function local(name: string, ip: string): LocalPod {
  return { name, ips: [ip], containerId: name, ifname: "eth0", netns: `/run/netns/${name}` };
}

function clusterPod(key: string): ClusterPod {
  const [namespace = "", name = ""] = key.split("/");
  const spec = { hostNetwork: false, phase: "Pending", podIps: [], annotations: {} };
  return { namespace, name, uid: key, nodeName: "node1", labels: { app: name }, ...spec };
}

/** A pod of this node, in a cluster that denies everything to its namespace. */
async function shut(): Promise<Rig> {
  const rig = new Rig();
  rig.addPod("x/one", "10.244.1.1");
  rig.setPolicy("x/deny", { ingress: [] });
  await rig.follow();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
  return rig;
}

const refusal = (error: unknown) => isBreakwaterError(error) && error.code === "BW_POLICY";

test("PolicyEnforcer makes no table without policies, nor for a family that no pod has", async () => {
  using rig = new Rig();
  rig.addPod("x/one", "10.244.1.1");
  await rig.follow();
  assert.equal(rig.enforcer.failure, undefined);
  assert.deepEqual([rig.isolated("ingress", 4), rig.isolated("ingress", 6)], [undefined, undefined]);
  rig.setPolicy("x/deny", { ingress: [] });
  await rig.follow();
  assert.deepEqual([rig.isolated("ingress", 4), rig.isolated("ingress", 6)], [["10.244.1.1"], undefined]);
});

test("PolicyEnforcer commits nothing where nothing changed, and takes the table away behind the last policy", async () => {
  using rig = await shut();
  rig.commits();
  await rig.follow();
  assert.equal(rig.commits(), 0);
  rig.policies.clear();
  await rig.follow();
  assert.equal(rig.isolated("ingress"), undefined);
});

test("PolicyEnforcer says when pods may start: behind the first round, and behind a failure", async () => {
  using rig = new Rig();
  rig.complete = false;
  await rig.follow();
  assert.equal(rig.readyTimes, 0, "pods are not known yet");
  rig.complete = true;
  await rig.follow();
  await rig.follow();
  assert.equal(rig.readyTimes, 1);
  rig.addPod("x/one", "10.244.1.1");
  rig.setPolicy("x/deny", { ingress: [] });
  rig.host.failures.fail({ operation: "commit", errno: "EPERM" });
  for (let round = 0; round < 5; round++) await rig.follow();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
  assert.equal(rig.readyTimes, 2);
});

test("PolicyEnforcer puts back what somebody else deleted", async () => {
  using rig = await shut();
  rig.other.nftables.commit(POLICY_TABLES[4], [{ do: "deleteTable" }]);
  await rig.elapse();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
});

for (const [what, failure] of [
  ["refused", {}],
  ["refused five times", { times: 5 }],
  ["done although its answer was lost", { applied: true }],
] as const) {
  test(`PolicyEnforcer ends right after a commit that was ${what}`, async () => {
    using rig = await shut();
    rig.addPod("x/two", "10.244.1.2");
    rig.host.failures.fail({ operation: "commit", errno: "ENOMEM", ...failure });
    rig.enforcer.request();
    rig.clock.advance(50);
    assert.match(rig.enforcer.failure ?? "", /ENOMEM/);
    for (let round = 0; round < 10; round++) await rig.elapse();
    assert.equal(rig.enforcer.failure, undefined);
    assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1", "10.244.1.2"]);
    assert.equal(rig.host.failures.pending, 0);
  });
}

test("PolicyEnforcer.admit() puts a pod's rules into the kernel before it returns", async () => {
  using rig = await shut();
  rig.known.set("x/new", clusterPod("x/new"));
  await rig.enforcer.admit(local("x/new", "10.244.1.7"));
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1", "10.244.1.7"]);
  rig.enforcer.forget(local("x/new", "10.244.1.7"));
  await rig.elapse();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
});

test("PolicyEnforcer.admit() throws when the kernel refuses, and goes on to throw until a round has succeeded", async () => {
  using rig = await shut();
  rig.known.set("x/new", clusterPod("x/new"));
  rig.host.failures.fail({ operation: "commit", errno: "EPERM" });
  await assert.rejects(rig.enforcer.admit(local("x/new", "10.244.1.7")), refusal);
  await assert.rejects(rig.enforcer.admit(local("x/new", "10.244.1.7")), refusal);
  for (let round = 0; round < 5; round++) await rig.elapse();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"], "nothing is left of a pod that was refused");
  await rig.enforcer.admit(local("x/new", "10.244.1.7"));
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1", "10.244.1.7"]);
});

test("PolicyEnforcer.admit() throws for a pod that the API does not know, and before anything was read", async () => {
  using rig = new Rig();
  await assert.rejects(rig.enforcer.admit(local("x/new", "10.244.1.7")), refusal);
  using other = await shut();
  await assert.rejects(other.enforcer.admit(local("x/new", "10.244.1.7")), refusal);
});

const FORMER = [
  "udp 10.244.2.9:4000 > 10.244.1.7:80, 10.244.1.7:80 > 10.244.2.9:4000",
  "udp 10.244.1.1:4001 > 10.96.0.10:53, 10.244.1.7:5353 > 10.244.1.1:4001",
  "tcp 10.244.1.7:4002 > 203.0.113.9:80, 203.0.113.9:80 > 192.168.1.11:4002",
];

test("PolicyEnforcer.admit() cuts what is tracked of a pod that had the address before, and nothing else", async () => {
  using rig = await shut();
  const others = ["tcp 10.244.1.1:4000 > 10.244.2.9:80, 10.244.2.9:80 > 10.244.1.1:4000"];
  for (const flow of [...FORMER, ...others]) rig.conntrack.track(flow);
  rig.known.set("x/new", clusterPod("x/new"));
  await rig.enforcer.admit(local("x/new", "10.244.1.7"));
  assert.deepEqual(rig.conntrack.flows(), others);
});

const FORMER_6 = [
  "udp [fd00::9]:4000 > [fd00::7]:80, [fd00::7]:80 > [fd00::9]:4000",
  "tcp [fd00::7]:4002 > [2001:db8::9]:80, [2001:db8::9]:80 > [fd00::7]:4002",
];

test("PolicyEnforcer.admit() cuts flows of IPv6, too, and lists them only where a former pod may have left some", async () => {
  using rig = await shut();
  const dual = { ...local("x/new", "10.244.1.7"), ips: ["10.244.1.7", "fd00::7"] };
  rig.known.set("x/new", clusterPod("x/new"));
  for (const flow of FORMER_6) rig.conntrack.track(flow);
  await rig.enforcer.admit(dual);
  assert.deepEqual(rig.conntrack.flows(), [], "of pods before this agent's time");
  for (const flow of FORMER_6) rig.conntrack.track(flow);
  rig.attached.push(dual);
  await rig.follow();
  rig.attached.pop();
  rig.enforcer.forget(dual);
  await rig.elapse();
  assert.deepEqual(rig.conntrack.flows(), [], "behind the pod that has gone");
  const { lists } = rig.conntrack;
  await rig.enforcer.admit(dual);
  assert.equal(rig.conntrack.lists, lists, "nothing is looked for twice");
});

test("PolicyEnforcer cuts no flow of a pod that has an address which another pod has left", async () => {
  using rig = await shut();
  const dual = { ...local("x/new", "10.244.1.7"), ips: ["10.244.1.7", "fd00::7"] };
  rig.known.set("x/new", clusterPod("x/new"));
  await rig.enforcer.admit(dual);
  rig.enforcer.forget(dual);
  await rig.enforcer.admit(dual);
  for (const flow of [...FORMER, ...FORMER_6]) rig.conntrack.track(flow);
  await rig.elapse();
  assert.deepEqual(rig.conntrack.flows(), [...FORMER, ...FORMER_6]);
});

test("PolicyEnforcer.admit() throws when it cannot cut what is tracked of the address", async () => {
  using rig = await shut();
  rig.known.set("x/new", clusterPod("x/new"));
  rig.host.failures.fail({ operation: "deleteMatching", errno: "ENOMEM" });
  await assert.rejects(rig.enforcer.admit(local("x/new", "10.244.1.7")), /ENOMEM/);
  await rig.enforcer.admit(local("x/new", "10.244.1.7"));
});

test("PolicyEnforcer changes and cuts nothing, and admits no pod, until pods were listed", async () => {
  using rig = await shut();
  rig.complete = false;
  rig.conntrack.track("tcp 10.244.2.9:4000 > 10.244.1.1:80, 10.244.1.1:80 > 10.244.2.9:4000");
  rig.setPolicy("x/allow", { ingress: [{ peers: [{ kind: "pods", pods: [] }] }] });
  rig.commits();
  await rig.follow();
  assert.equal(rig.commits(), 0);
  assert.equal(rig.conntrack.flows().length, 1);
  await assert.rejects(rig.enforcer.admit(local("x/new", "10.244.1.7")), refusal);
  rig.complete = true;
  rig.addPod("x/far", "10.244.2.9", "node2");
  await rig.follow();
  assert.equal(rig.enforcer.failure, undefined);
  assert.equal(rig.conntrack.flows().length, 1, "the peer is known now");
});

test("PolicyEnforcer cuts the flows that a new policy forbids, and no others", async () => {
  using rig = new Rig();
  rig.addPod("x/one", "10.244.1.1");
  rig.addPod("y/two", "10.244.1.2");
  await rig.follow();
  const forbidden = [
    "tcp 10.244.2.9:4000 > 10.244.1.1:80, 10.244.1.1:80 > 10.244.2.9:4000",
    "udp 10.244.2.9:4001 > 10.96.0.10:53, 10.244.1.1:5353 > 10.244.2.9:4001",
  ];
  const others = [
    "tcp 10.244.2.9:4000 > 10.244.1.2:80, 10.244.1.2:80 > 10.244.2.9:4000",
    "tcp 10.244.1.1:4000 > 10.244.2.9:80, 10.244.2.9:80 > 10.244.1.1:4000",
    "tcp 10.244.2.8:4000 > 10.244.2.9:80, 10.244.2.9:80 > 10.244.2.8:4000",
  ];
  for (const flow of [...forbidden, ...others]) rig.conntrack.track(flow);
  rig.setPolicy("x/deny", { ingress: [] });
  await rig.follow();
  assert.deepEqual(rig.conntrack.flows(), others);
});

test("PolicyEnforcer tries again to cut what it could not", async () => {
  using rig = await shut();
  rig.conntrack.track("tcp 10.244.2.9:4000 > 10.244.1.1:80, 10.244.1.1:80 > 10.244.2.9:4000");
  rig.host.failures.fail({ operation: "conntrackEntries", errno: "ENOBUFS" });
  rig.setPolicy("x/deny", { ingress: [], egress: [] });
  await rig.follow();
  for (let round = 0; round < 3; round++) await rig.elapse();
  assert.equal(rig.host.failures.pending, 0);
  assert.deepEqual(rig.conntrack.flows(), []);
  assert.equal(rig.enforcer.failure, undefined);
  const { lists } = rig.conntrack;
  for (let round = 0; round < 3; round++) await rig.follow();
  assert.equal(rig.conntrack.lists, lists, "and then no more");
});

test("PolicyEnforcer goes on to isolate a pod that the API has forgotten, until it has gone from here", async () => {
  using rig = await shut();
  rig.pods.delete("x/one");
  await rig.follow();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
  rig.setPolicy("x/more", { ingress: [], egress: [] });
  await rig.follow();
  assert.deepEqual(rig.isolated("egress"), ["10.244.1.1"], "new policies count for it, too");
  rig.attached = [];
  rig.enforcer.forget(local("x/one", "10.244.1.1"));
  await rig.elapse();
  assert.equal(rig.isolated("ingress"), undefined);
});

test("PolicyEnforcer gives an address to the pod that has it here, not to one that the API still tells of", async () => {
  using rig = new Rig();
  rig.addPod("x/new", "10.244.1.1");
  const old = { namespace: "y", name: "old", labels: {}, nodeName: "node1", ips: ["10.244.1.1"], ports: [] };
  rig.pods.set("y/old", old);
  rig.setPolicy("y/deny", { ingress: [] });
  await rig.follow();
  assert.equal(rig.isolated("ingress"), undefined, "nothing selects the pod that is there");
  rig.setPolicy("x/deny", { ingress: [] });
  await rig.follow();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
});

const ENDINGS = {
  namespace: (rig: Rig) => rig.namespaces.delete("x"),
  policies: (rig: Rig) => rig.policies.clear(),
  pods: (rig: Rig) => {
    rig.pods.clear();
    rig.attached = [];
  },
};
const ORDERS = [
  ["namespace", "policies", "pods"],
  ["namespace", "pods", "policies"],
  ["policies", "namespace", "pods"],
  ["policies", "pods", "namespace"],
  ["pods", "namespace", "policies"],
  ["pods", "policies", "namespace"],
] as const;
for (const order of ORDERS) {
  test(`PolicyEnforcer leaves nothing of a namespace that goes as ${order.join(", ")}`, async () => {
    using rig = new Rig();
    rig.namespaces.set("x", { name: "x", labels: { team: "a" } });
    rig.addPod("x/one", "10.244.1.1");
    const team = [{ key: "team", operator: "In" as const, values: ["a"] }];
    rig.setPolicy("x/team", { ingress: [{ peers: [{ kind: "pods", namespaces: team, pods: [] }] }], egress: [] });
    await rig.follow();
    assert.deepEqual(rig.isolated("egress"), ["10.244.1.1"]);
    for (const step of order) {
      ENDINGS[step](rig);
      await rig.follow();
      assert.equal(rig.enforcer.failure, undefined, step);
      const isDenied = rig.policies.size > 0 && rig.pods.size > 0;
      assert.deepEqual(rig.isolated("ingress"), isDenied ? ["10.244.1.1"] : undefined, step);
    }
  });
}

test("admit() goes by the labels that the API has now, not by those of an older pod of the same name", async () => {
  using rig = new Rig();
  const key = "default/db-0";
  rig.pods.set(key, {
    namespace: "default",
    name: "db-0",
    uid: "old",
    labels: {},
    nodeName: "node1",
    ips: [],
    ports: [],
  });
  rig.setPolicy("default/deny", { pods: [{ key: "app", operator: "In", values: ["db"] }], ingress: [] });
  await rig.follow();
  const fresh = { namespace: "default", name: "db-0", uid: "new", nodeName: "node1", hostNetwork: false };
  rig.known.set(key, { ...fresh, phase: "Pending", podIps: [], labels: { app: "db" }, annotations: {} });
  const isolated = () => rig.other.nftables.table(POLICY_TABLES[4])?.sets.find(({ name }) => name === "ingress");
  await rig.enforcer.admit(local(key, "10.244.1.7"));
  assert.match(isolated()?.elements.join() ?? "", /10\.244\.1\.7 : jump/);
  rig.attached.push(local(key, "10.244.1.7"));
  await rig.follow();
  assert.match(isolated()?.elements.join() ?? "", /10\.244\.1\.7 : jump/, "the watch still has the older one");
  rig.attached = [];
  rig.enforcer.forget(local(key, "10.244.1.7"));
  await rig.elapse();
  assert.equal(isolated(), undefined);
});

const DENY_ALL = { name: "", action: "Deny" } as const;
const OF_TEAM_A = { namespaces: [{ key: "team", operator: "In" as const, values: ["a"] }], pods: [] };

test("PolicyEnforcer enforces ClusterNetworkPolicies on the pods of namespaces as these are labelled now", async () => {
  using rig = new Rig();
  rig.namespaces.set("x", { name: "x", labels: { team: "a" } });
  rig.namespaces.set("y", { name: "y", labels: {} });
  rig.addPod("x/one", "10.244.1.1");
  rig.addPod("y/two", "10.244.1.2");
  rig.setClusterPolicy("deny", { subject: OF_TEAM_A, ingress: [DENY_ALL] });
  await rig.follow();
  assert.deepEqual([rig.isolated("ingress"), rig.isolated("egress")], [["10.244.1.1"], []]);
  rig.namespaces.set("x", { name: "x", labels: {} });
  rig.namespaces.set("y", { name: "y", labels: { team: "a" } });
  await rig.follow();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.2"]);
  rig.clusterPolicies.clear();
  await rig.follow();
  assert.equal(rig.isolated("ingress"), undefined);
});

test("PolicyEnforcer.admit() puts the rules of ClusterNetworkPolicies into the kernel, where there are no others", async () => {
  using rig = new Rig();
  rig.namespaces.set("x", { name: "x", labels: { team: "a" } });
  rig.setClusterPolicy("deny", { subject: OF_TEAM_A, egress: [DENY_ALL] });
  await rig.follow();
  rig.known.set("x/new", clusterPod("x/new"));
  await rig.enforcer.admit(local("x/new", "10.244.1.7"));
  assert.deepEqual(rig.isolated("egress"), ["10.244.1.7"]);
});

test("PolicyEnforcer.admit() throws while the labels of the pod's namespace are not known and may matter", async () => {
  using rig = await shut();
  rig.known.set("x/new", clusterPod("x/new"));
  await rig.enforcer.admit(local("x/new", "10.244.1.7"));
  rig.setClusterPolicy("deny", { subject: OF_TEAM_A, ingress: [DENY_ALL] });
  await rig.follow();
  await assert.rejects(rig.enforcer.admit(local("x/new", "10.244.1.8")), /namespace x has not been read/);
  rig.namespaces.set("x", { name: "x", labels: {} });
  await rig.enforcer.admit(local("x/new", "10.244.1.8"));
});

test("PolicyEnforcer cuts the flows that a new ClusterNetworkPolicy forbids, and no others", async () => {
  using rig = new Rig();
  rig.namespaces.set("x", { name: "x", labels: { team: "a" } });
  rig.namespaces.set("y", { name: "y", labels: {} });
  rig.addPod("x/one", "10.244.1.1");
  rig.addPod("y/two", "10.244.1.2");
  rig.setPolicy("x/allow", { ingress: [{}] });
  await rig.follow();
  const forbidden = "tcp 10.244.2.9:4000 > 10.244.1.1:80, 10.244.1.1:80 > 10.244.2.9:4000";
  const others = [
    "tcp 10.244.2.9:4000 > 10.244.1.1:81, 10.244.1.1:81 > 10.244.2.9:4000",
    "tcp 10.244.2.9:4000 > 10.244.1.2:80, 10.244.1.2:80 > 10.244.2.9:4000",
  ];
  for (const flow of [forbidden, ...others]) rig.conntrack.track(flow);
  const ports = [{ protocol: "TCP" as const, port: 80 }];
  rig.setClusterPolicy("deny", { subject: OF_TEAM_A, ingress: [{ ...DENY_ALL, ports }] });
  await rig.follow();
  assert.deepEqual(rig.conntrack.flows(), others);
});

test("PolicyEnforcer follows the addresses of nodes that rules speak of", async () => {
  using rig = new Rig();
  rig.namespaces.set("x", { name: "x", labels: {} });
  rig.addPod("x/one", "10.244.1.1");
  const peers = [{ kind: "nodes" as const, nodes: [] }];
  rig.setClusterPolicy("nodes", { egress: [{ ...DENY_ALL, peers }] });
  const addresses = () =>
    rig.other.nftables.table(POLICY_TABLES[4])?.sets.find(({ name }) => name.startsWith("block-"));
  const node = (name: string, ip: string): ClusterNode => ({ name, internalIps: [ip], podCidrs: [], labels: {} });
  rig.nodes.set("node1", node("node1", "192.168.1.11"));
  await rig.follow();
  assert.deepEqual(addresses()?.elements, ["192.168.1.11/32"]);
  rig.nodes.set("node1", node("node1", "192.168.1.21"));
  await rig.follow();
  assert.deepEqual(addresses()?.elements, ["192.168.1.21/32"]);
  rig.commits();
  await rig.follow();
  assert.equal(rig.commits(), 0);
});
