/** An enforcer over the fake kernel, and an API that the test speaks for. */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { FakeConntrack } from "../../../kernel/fake/conntrack.ts";
import { FakeHost } from "../../../kernel/fake/host.ts";
import { supervise } from "../../../kernel/fake/supervision.ts";
import { ManualClock } from "../../../kube/testing/manual-clock.ts";
import type { ClusterNamespace, ClusterNode, ClusterPod } from "../../../model/cluster.ts";
import type { ClusterNetworkPolicy } from "../../../model/cluster-network-policy.ts";
import { isBreakwaterError } from "../../../model/errors.ts";
import { POLICY_TABLES } from "../../../model/marks.ts";
import type { ClusterPolicy, PolicyPod } from "../../../model/policy.ts";
import type { LocalPod } from "../../../model/state.ts";
import type { Log } from "../../log.ts";
import { PolicyEnforcer } from "../policy-enforcer.ts";

const NODE = "/run/netns/node1";

export class Rig implements Disposable {
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

export function local(name: string, ip: string): LocalPod {
  return { name, ips: [ip], containerId: name, ifname: "eth0", netns: `/run/netns/${name}` };
}

export function clusterPod(key: string): ClusterPod {
  const [namespace = "", name = ""] = key.split("/");
  const spec = { hostNetwork: false, phase: "Pending", podIps: [], annotations: {} };
  return { namespace, name, uid: key, nodeName: "node1", labels: { app: name }, ...spec };
}

/** A pod of this node, in a cluster that denies everything to its namespace. */
export async function shut(): Promise<Rig> {
  const rig = new Rig();
  rig.addPod("x/one", "10.244.1.1");
  rig.setPolicy("x/deny", { ingress: [] });
  await rig.follow();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
  return rig;
}

export const refusal = (error: unknown) => isBreakwaterError(error) && error.code === "BW_POLICY";
