/** A dual-stack lab of three nodes in which the cases of test/conformance/cluster-network-policy run with real sockets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterNetworkPolicies, networkPolicies, type ObjectAddress } from "../../src/kube/resource.ts";
import {
  houses,
  type Manifest,
  PORTS,
  parseProbe,
  type TierCase,
  type TierProbe,
} from "../conformance/cluster-network-policy/cases.ts";
import { ApiLab } from "./api-fixture.ts";
import { eventually } from "./lab-fixture.ts";
import { ANSWER_MS, ipv6Of, namespaceObject, podAt, SILENCE_MS } from "./policies-fixture.ts";
import { SETTLED_MS } from "./services-fixture.ts";

/** Of the pods of the host network, for the cases that dial nodes. */
const NODE_PORTS = [
  ...[7080, 7081, 7082].map((containerPort) => ({ containerPort })),
  ...[7053, 7054].map((containerPort) => ({ containerPort, protocol: "UDP" })),
];
const places = new Map(houses.flatMap(({ house, pods }) => pods.map((pod) => [pod.name, { house, ...pod }] as const)));

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

export class ClusterPolicyLab extends ApiLab {
  readonly #applied = new Map<string, ObjectAddress>();

  async start(): Promise<void> {
    await this.up(manifests(), ["--nodes", "3", "--subnets", "2", "--cluster-network-policies"]);
    for (const node of this.nodes) await this.kubectl("label", "node", node, "kubernetes.io/os=linux", "--overwrite");
    await this.lookForSctp("gryffindor/gryffindor-0", "ravenclaw/ravenclaw-0");
  }

  /** These and no others. */
  async setPolicies(policies: readonly Manifest[]): Promise<void> {
    const wanted = new Map(policies.map((policy) => [keyOf(addressOf(policy)), policy]));
    for (const [key, address] of this.#applied) {
      if (wanted.has(key)) continue;
      await this.api.delete(address);
      this.#applied.delete(key);
    }
    for (const [key, policy] of wanted) {
      const address = addressOf(policy);
      await this.api.patch(address, policy, { type: "apply", fieldManager: "e2e", force: true });
      this.#applied.set(key, address);
    }
  }

  /** They went with their definition. */
  forgetPolicies(): void {
    this.#applied.clear();
  }

  /** Silence, or the pod that was meant: anything else is wrong. Both families. */
  async holds(probes: readonly TierProbe[]): Promise<void> {
    const rows = probes.flatMap((probe) => this.addressesOf(probe.to).map((to) => ({ ...probe, address: to })));
    const results = await this.dial(
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

  /** Of a pod of the houses, or of a node. */
  addressesOf(name: string): readonly string[] {
    const place = places.get(name);
    return place === undefined ? this.addresses(name) : [place.ip, ipv6Of(place.ip)];
  }

  /** Those that this kernel has the protocol for. */
  possible(probes: readonly string[]): TierProbe[] {
    return probes.map(parseProbe).filter(({ protocol }) => this.hasSctp || protocol !== "SCTP");
  }
}

function addressOf(policy: Manifest): ObjectAddress {
  const { namespace, name } = policy["metadata"] as { namespace?: string; name: string };
  if (namespace === undefined) return { resource: clusterNetworkPolicies, name };
  return { resource: networkPolicies, namespace, name };
}

const keyOf = ({ resource, namespace = "", name }: ObjectAddress) => `${resource.plural} ${namespace}/${name}`;

/** "namespace/name"; what answers on a node is a pod of its network. */
function podOf(name: string): string {
  const place = places.get(name);
  return place === undefined ? `default/${name}-ports` : `${place.house}/${name}`;
}

export function testTierCases(lab: ClusterPolicyLab, cases: readonly TierCase[]): void {
  for (const { id, steps } of cases) {
    test(id, async (t) => {
      let isWhole = true;
      for (const { title, policies, probes, deviation } of steps) {
        await lab.setPolicies(policies);
        const some = lab.possible(probes);
        isWhole &&= some.length === probes.length;
        const wanted = some.map((probe) => (deviation === undefined ? probe : { ...probe, allowed: !probe.allowed }));
        await eventually(SETTLED_MS, () => lab.holds(wanted)).catch((error: Error) => {
          throw new Error(`${title}: ${error.message}`, { cause: error });
        });
      }
      if (!isWhole) t.skip("this kernel has no SCTP: its probes are left out, and made by npm run test:vm");
    });
  }
}
