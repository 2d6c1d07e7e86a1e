/** A raw cluster through the project's own parsers, planner and packet tracer: what its nodes do with a connection. */
import type { JsonObject } from "../../../src/kube/json.ts";
import { parseClusterNetworkPolicy } from "../../../src/kube/parse-cluster-network-policy.ts";
import { parseNamespace } from "../../../src/kube/parse-namespace.ts";
import { parseNetworkPolicy } from "../../../src/kube/parse-network-policy.ts";
import { parseNode } from "../../../src/kube/parse-node.ts";
import { parsePolicyPod } from "../../../src/kube/parse-policy-pod.ts";
import type { ClusterNetworkPolicy } from "../../../src/model/cluster-network-policy.ts";
import { type Family, ipFamily } from "../../../src/model/ip.ts";
import type { ClusterPolicy } from "../../../src/model/policy.ts";
import { type PolicyInput, planPolicyTable } from "../../../src/plan/policies/table.ts";
import { PacketTracer } from "../../../src/plan/testing/packet-tracer.ts";
import type { Connection, RawCluster } from "./evaluator.ts";

const ignore = () => undefined;

export function inputOf(nodeName: string, cluster: RawCluster): PolicyInput {
  const parse = <T>(objects: RawCluster["pods"], by: (object: JsonObject, report: typeof ignore) => T | undefined) =>
    objects.flatMap((object) => by(object, ignore) ?? []);
  const namespaces = parse(cluster.namespaces, parseNamespace);
  return {
    nodeName,
    pods: parse(cluster.pods, parsePolicyPod),
    namespaces: new Map(namespaces.map(({ name, labels }) => [name, labels])),
    policies: parse<ClusterPolicy>(cluster.policies, parseNetworkPolicy),
    clusterNetworkPolicies: parse<ClusterNetworkPolicy>(cluster.clusterPolicies ?? [], parseClusterNetworkPolicy),
    nodes: new Map(parse(cluster.nodeObjects ?? [], parseNode).map((node) => [node.name, node])),
  };
}

export class TracedCluster {
  readonly #nodes: RawCluster["nodes"];
  readonly #inputs: ReadonlyMap<string, PolicyInput>;
  readonly #tracers = new Map<string, PacketTracer>();

  constructor(cluster: RawCluster) {
    this.#nodes = cluster.nodes;
    this.#inputs = new Map(Object.keys(cluster.nodes).map((node) => [node, inputOf(node, cluster)]));
  }

  /** By the node of its source and that of its destination, as far as they are of the cluster. */
  isAllowed({ source, destination, protocol, port }: Connection): boolean {
    const [here, there] = [this.#nodeOf(source), this.#nodeOf(destination)];
    const passed = [...new Set([here, there])].filter((node) => node !== undefined);
    return passed.every((node) => {
      // A node's own packet comes by no device.
      const device = this.#nodes[node]?.includes(source) ? {} : { from: node === here ? "bwh0" : "eth0" };
      const { verdict } = this.#tracer(node, ipFamily(source)).send({
        ...{ source, destination, destinationPort: port, ...device },
        protocol: protocol.toLowerCase() as "tcp" | "udp" | "sctp",
      });
      return verdict === "sent" || verdict === "local";
    });
  }

  #nodeOf(ip: string): string | undefined {
    const owner = Object.entries(this.#nodes).find(([, ips]) => ips.includes(ip));
    if (owner !== undefined) return owner[0];
    const [input] = this.#inputs.values();
    return input?.pods.find(({ ips }) => ips.includes(ip))?.nodeName;
  }

  #tracer(node: string, family: Family): PacketTracer {
    const key = `${node} ${family}`;
    const known = this.#tracers.get(key);
    if (known !== undefined) return known;
    const input = this.#inputs.get(node);
    if (input === undefined) throw new RangeError(`There is no node ${node}`);
    const addresses = this.#nodes[node] ?? [];
    const tracer = new PacketTracer({
      tables: [planPolicyTable(input, family)],
      addresses,
      sourceAddress: () => addresses[0] ?? "",
      route: () => "eth0",
    });
    this.#tracers.set(key, tracer);
    return tracer;
  }
}
