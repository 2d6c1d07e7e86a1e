/** The NetworkPolicy cases over planned tables and traced packets: every probe, in milliseconds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkPolicy } from "../../../src/kube/parse-network-policy.ts";
import { ipFamily } from "../../../src/model/ip.ts";
import type { ClusterPolicy, PolicyPod } from "../../../src/model/policy.ts";
import { planPolicyTable } from "../../../src/plan/policies/table.ts";
import { PacketTracer } from "../../../src/plan/testing/packet-tracer.ts";
import {
  type CaseAction,
  type CasePod,
  type CaseProbe,
  clusterOf,
  connectionsOf,
  type PolicyCase,
  policyCases,
} from "./cases.ts";

const NODES = { addresses: ["192.168.1.11"], sourceAddress: () => "192.168.1.11", route: () => "eth0" };

/** A cluster that a case changes step by step. */
class TracedCluster {
  readonly #namespaces: Map<string, Record<string, string>>;
  readonly #pods: Map<string, CasePod>;
  readonly #policies = new Map<string, ClusterPolicy>();
  #tracers = new Map<string, PacketTracer>();

  constructor(theCase: PolicyCase) {
    const { namespaces, pods } = clusterOf(theCase);
    this.#namespaces = new Map(namespaces.map(({ name, labels }) => [name, labels]));
    this.#pods = new Map(pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
  }

  apply(action: CaseAction): void {
    this.#tracers.clear();
    if (action.op === "applyPolicy") {
      const policy = parseNetworkPolicy(action.policy, () => undefined);
      this.#policies.set(`${policy.namespace}/${policy.name}`, policy);
    } else if (action.op === "deletePolicy") this.#policies.delete(`${action.namespace}/${action.name}`);
    else if (action.op === "setNamespaceLabels") this.#namespaces.set(action.namespace, action.labels);
    else {
      const key = `${action.namespace}/${action.name}`;
      this.#pods.set(key, { ...(this.#pods.get(key) as CasePod), labels: action.labels });
    }
  }

  /** @param from a pod, or an address outside of the cluster; so too `to` */
  isAllowed(from: string, to: string, port: number, protocol: CaseProbe["protocol"]): boolean {
    const [source, destination] = [this.#pods.get(from), this.#pods.get(to)];
    const packet = {
      source: source?.ips[0] ?? from,
      destination: destination?.ips[0] ?? to,
      protocol: protocol.toLowerCase() as "tcp" | "udp" | "sctp",
      destinationPort: port,
    };
    // A node sees what its pods send and what they get; between two nodes both look.
    const nodes = new Set([source?.node, destination?.node].filter((node) => node !== undefined));
    return [...nodes].every((node) => {
      const outcome = this.#tracer(node, ipFamily(packet.source)).send({
        ...packet,
        from: node === source?.node ? "bwh0" : "eth0",
      });
      return outcome.verdict === "sent";
    });
  }

  #tracer(node: string, family: 4 | 6): PacketTracer {
    const known = this.#tracers.get(node);
    if (known !== undefined) return known;
    const pods: PolicyPod[] = [...this.#pods.values()]
      .filter(({ hostNetwork }) => hostNetwork !== true)
      .map(({ node: nodeName, ...pod }) => ({ ...pod, nodeName }));
    const policies = [...this.#policies.values()];
    const table = planPolicyTable({ nodeName: node, pods, namespaces: this.#namespaces, policies }, family);
    const tracer = new PacketTracer({ tables: [table], ...NODES });
    this.#tracers.set(node, tracer);
    return tracer;
  }
}

for (const theCase of policyCases) {
  test(`${theCase.id} ${theCase.title}`, () => {
    const cluster = new TracedCluster(theCase);
    for (const [step, { actions, probes }] of theCase.steps.entries()) {
      for (const action of actions) cluster.apply(action);
      for (const probe of probes) {
        for (const { from, to, allowed } of connectionsOf(probe)) {
          const what = `step ${step + 1}: ${from} -> ${to} ${probe.protocol} ${probe.port}`;
          assert.equal(cluster.isAllowed(from, to, probe.port, probe.protocol), allowed, what);
        }
      }
    }
  });
}

test("there are 65 cases", () => assert.equal(policyCases.length, 65));
