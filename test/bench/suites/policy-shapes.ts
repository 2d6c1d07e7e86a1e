/**
 * Many policies that all select the pod that is measured, in several shapes. Each admits something of its own; the last one
 * alone admits what the probe sends.
 */
import type { Ip } from "../../../src/model/ip.ts";
import type { ClusterPolicy, PolicyPeer, PolicyPod, PolicyRule } from "../../../src/model/policy.ts";
import type { Selector } from "../../../src/model/selector.ts";
import type { PolicyInput } from "../../../src/plan/policies/table.ts";
import { PROBE_PORT } from "../path-probe.ts";

export interface Shape {
  readonly name: string;
  readonly direction: "ingress" | "egress";
  /** The rule of policy number `i`; of the last one `isLast`. */
  readonly rule: (i: number, isLast: boolean, ends: { readonly client: Ip; readonly server: Ip }) => PolicyRule;
}

const NAMESPACE = "default";
const OTHER_PODS = 2000;

const having = (key: string, value: string): Selector => [{ key, operator: "In", values: [value] }];
const podsWith = (key: string, value: string): PolicyPeer => ({ kind: "pods", pods: having(key, value) });
/** Two of each number: the protocols of the probes. */
const ports = (port: number): PolicyRule["ports"] => [
  { protocol: "TCP", port },
  { protocol: "UDP", port },
];
const portOf = (i: number, isLast: boolean) => (isLast ? PROBE_PORT : 10_000 + i);

export const SHAPES: readonly Shape[] = [
  {
    name: "ingress, a peer and a port of its own each",
    direction: "ingress",
    rule: (i, isLast) => ({
      peers: [isLast ? podsWith("app", "client") : podsWith("role", `role-${i}`)],
      ports: ports(portOf(i, isLast)),
    }),
  },
  {
    name: "ingress, one peer, a port of its own each",
    direction: "ingress",
    rule: (i, isLast) => ({ peers: [{ kind: "pods", namespaces: [], pods: [] }], ports: ports(portOf(i, isLast)) }),
  },
  {
    name: "ingress, a block of its own each",
    direction: "ingress",
    rule: (i, isLast, { client }) => ({
      peers: [
        {
          kind: "block",
          prefix: isLast ? `${client}/32` : `172.${16 + (i >> 8)}.${i & 255}.0/24`,
          except: isLast ? [] : [`172.${16 + (i >> 8)}.${i & 255}.128/25`],
        },
      ],
    }),
  },
  {
    name: "egress, a peer and a port of its own each",
    direction: "egress",
    rule: (i, isLast) => ({
      peers: [isLast ? podsWith("app", "server") : podsWith("role", `role-${i}`)],
      ports: ports(portOf(i, isLast)),
    }),
  },
];

export function shapeInput(shape: Shape, count: number, client: Ip, server: Ip): Omit<PolicyInput, "nodeName"> {
  const selected = shape.direction === "ingress" ? "server" : "client";
  const policies = Array.from({ length: count }, (_, i): ClusterPolicy => {
    const rules = [shape.rule(i, i === count - 1, { client, server })];
    const name = `policy-${String(i).padStart(4, "0")}`;
    const head = { namespace: NAMESPACE, name, uid: name, pods: having("app", selected) };
    return shape.direction === "ingress" ? { ...head, ingress: rules } : { ...head, egress: rules };
  });
  const pod = (name: string, nodeName: string, ip: Ip, labels: PolicyPod["labels"]): PolicyPod => ({
    ...{ namespace: NAMESPACE, name, nodeName, ips: [ip], labels, ports: [] },
  });
  const others = Array.from({ length: OTHER_PODS }, (_, i) =>
    pod(`other-${i}`, `node${3 + (i % 50)}`, `10.245.${i >> 8}.${i & 255}`, { role: `role-${i % 1000}` }),
  );
  const ends = [pod("client", "node1", client, { app: "client" }), pod("server", "node2", server, { app: "server" })];
  return { pods: [...ends, ...others], namespaces: new Map([[NAMESPACE, {}]]), policies };
}
