/** The cases of ClusterNetworkPolicies over planned tables and traced packets, in both families. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReportField } from "../../../src/kube/object-reader.ts";
import { parseClusterNetworkPolicy } from "../../../src/kube/parse-cluster-network-policy.ts";
import { parseNetworkPolicy } from "../../../src/kube/parse-network-policy.ts";
import type { ClusterNode } from "../../../src/model/cluster.ts";
import { type Family, ipFamily } from "../../../src/model/ip.ts";
import type { PolicyPod } from "../../../src/model/policy.ts";
import { type PolicyInput, planPolicyTable } from "../../../src/plan/policies/table.ts";
import { PacketTracer } from "../../../src/plan/testing/packet-tracer.ts";
import { houses, type Manifest, PORTS, parseProbe, type TierProbe, tierCases } from "./cases.ts";

/** 10.244.1.11 -> fd00:10:244:1::b */
function ipv6Of(ip: string): string {
  const [, , node, host] = ip.split(".").map(Number);
  return `fd00:10:244:${node}::${(host ?? 0).toString(16)}`;
}

const pods: readonly PolicyPod[] = houses.flatMap(({ house, pods: ofHouse }) =>
  ofHouse.map(({ name, node, ip }) => ({
    ...{ namespace: house, name, nodeName: node, ips: [ip, ipv6Of(ip)], ports: PORTS },
    labels: { "conformance-house": house, "statefulset.kubernetes.io/pod-name": name },
  })),
);
const namespaces = new Map(
  houses.map(({ house }) => [house, { "conformance-house": house, "kubernetes.io/metadata.name": house }]),
);
const nodes = new Map(
  [1, 2, 3].map((number): [string, ClusterNode] => [
    `node${number}`,
    {
      ...{ name: `node${number}`, internalIps: [`192.168.1.1${number}`, `fd00:1::1${number}`], podCidrs: [] },
      labels: { "kubernetes.io/os": "linux" },
    },
  ]),
);

const misunderstood: ReportField = (field, why) => assert.fail(`${field}: ${why}`);

function inputOf(nodeName: string, manifests: readonly Manifest[]): PolicyInput {
  const ofKind = (kind: string) => manifests.filter((manifest) => manifest["kind"] === kind);
  return {
    ...{ nodeName, pods, namespaces, nodes },
    policies: ofKind("NetworkPolicy").map((manifest) => parseNetworkPolicy(manifest, misunderstood)),
    clusterNetworkPolicies: ofKind("ClusterNetworkPolicy").map((manifest) =>
      parseClusterNetworkPolicy(manifest, misunderstood),
    ),
  };
}

/** The nodes of both ends look. */
function isAllowed(manifests: readonly Manifest[], { from, to, protocol, port }: TierProbe, family: Family): boolean {
  const find = (name: string) => {
    const ips = pods.find((pod) => pod.name === name)?.ips ?? nodes.get(name)?.internalIps ?? [];
    return {
      ip: ips.find((ip) => ipFamily(ip) === family) ?? "",
      node: pods.find((pod) => pod.name === name)?.nodeName,
    };
  };
  const [source, destination] = [find(from), find(to)];
  const looking = new Set([source.node, destination.node].filter((node) => node !== undefined));
  return [...looking].every((node) => {
    const address = nodes.get(node)?.internalIps[family === 4 ? 0 : 1] ?? "";
    const table = planPolicyTable(inputOf(node, manifests), family);
    const tracer = new PacketTracer({
      ...{ tables: [table], addresses: [address], sourceAddress: () => address, route: () => "eth0" },
    });
    const outcome = tracer.send({
      ...{ source: source.ip, destination: destination.ip, destinationPort: port },
      protocol: protocol.toLowerCase() as "tcp" | "udp" | "sctp",
      from: node === source.node ? "bwh0" : "eth0",
    });
    return outcome.verdict === "sent";
  });
}

for (const { id, steps } of tierCases) {
  for (const { title, policies, probes, deviation } of steps) {
    test(`${id}: ${title}`, () => {
      for (const text of probes) {
        const probe = parseProbe(text);
        for (const family of [4, 6] as const) {
          const expected = deviation === undefined ? probe.allowed : !probe.allowed;
          assert.equal(isAllowed(policies, probe, family), expected, `${text} (IPv${family}) ${deviation ?? ""}`);
        }
      }
    });
  }
}

test("there are 34 cases, and each has probes of its own", () => {
  assert.equal(new Set(tierCases.map(({ id }) => id)).size, 34);
  for (const { id, steps } of tierCases)
    for (const { title, probes } of steps) assert.ok(probes.length > 0, `${id} ${title}`);
});
