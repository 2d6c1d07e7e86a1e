/** Which tracked flows are cut, of any protocol, and what becomes of those that the kernel does not let go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNode } from "../../model/cluster.ts";
import type { ConntrackEntry, ConntrackTuple } from "../../model/conntrack.ts";
import { BreakwaterError } from "../../model/errors.ts";
import { ipFamily } from "../../model/ip.ts";
import type { ClusterPolicy, PolicyPod } from "../../model/policy.ts";
import { cutForbidden } from "./flow-cutter.ts";

const IPPROTO = { icmp: 1, tcp: 6, gre: 47, icmpv6: 58, udplite: 136 } as const;
const ECHO_REQUEST = { icmp: 8, icmpv6: 128 } as const;

/** Both ends as they are, without NAT. */
function flow(protocol: keyof typeof IPPROTO, source: string, destination: string, id: number): ConntrackEntry {
  const hasPorts = protocol === "tcp" || protocol === "udplite";
  const ports = (from: number, to: number) => ({
    sourcePort: hasPorts ? from : undefined,
    destinationPort: hasPorts ? to : undefined,
  });
  const isEcho = protocol === "icmp" || protocol === "icmpv6";
  const icmp = isEcho ? { type: ECHO_REQUEST[protocol], code: 0, id: 7 } : undefined;
  const common = { protocol: IPPROTO[protocol], icmp };
  const original: ConntrackTuple = { ...common, source, destination, ...ports(4000, 80) };
  const reply: ConntrackTuple = { ...common, source: destination, destination: source, ...ports(80, 4000) };
  return { family: ipFamily(source), original, reply, id, status: 0, timeoutSeconds: 30, mark: 0, zone: 0 };
}

/** Connection tracking that holds these, and does not let the stubborn ones go. */
function tracked(entries: readonly ConntrackEntry[], stubborn: readonly number[] = []) {
  const left = new Map(entries.map((entry) => [entry.id, entry]));
  return {
    left: () => [...left.keys()],
    entries: () => [...left.values()],
    deleteEntry: ({ id }: { readonly id: number }) => {
      if (stubborn.includes(id)) throw new BreakwaterError("BW_NETLINK", `EBUSY of ${id}`, { errno: "EBUSY" });
      return left.delete(id);
    },
  };
}

const pod = (name: string, ips: readonly string[], nodeName = "node1"): PolicyPod => ({
  ...{ namespace: "x", name, labels: { app: name }, nodeName, ips, ports: [] },
});
const server = pod("server", ["10.244.1.1", "fd00::1"]);
const client = pod("client", ["10.244.2.1", "fd00:2::1"], "node2");

const policy = (ingress: ClusterPolicy["ingress"] & object): ClusterPolicy => ({
  ...{ namespace: "x", name: "policy", uid: "policy", ingress },
  pods: [{ key: "app", operator: "In", values: ["server"] }],
});
const fromClient = [{ kind: "pods" as const, pods: [{ key: "app", operator: "In" as const, values: ["client"] }] }];

const node = (name: string, ip: string, podCidr: string): ClusterNode => ({
  ...{ name, internalIps: [ip], podCidrs: [podCidr], labels: {} },
});
const nodes = new Map([
  ["node1", node("node1", "192.168.1.11", "10.244.1.0/24")],
  ["node2", node("node2", "192.168.1.12", "10.244.2.0/24")],
]);

function input(policies: readonly ClusterPolicy[], pods: readonly PolicyPod[] = [server, client]) {
  return { nodeName: "node1", pods, policies, namespaces: new Map([["x", {}]]), nodes };
}

const OTHER_PROTOCOLS = [
  flow("icmp", "10.244.2.1", "10.244.1.1", 1),
  flow("icmpv6", "fd00:2::1", "fd00::1", 2),
  flow("gre", "10.244.2.1", "10.244.1.1", 3),
  flow("udplite", "10.244.2.1", "10.244.1.1", 4),
];

test("a ping that goes on is cut, as is what has no ports that a policy could speak of", () => {
  const conntrack = tracked(OTHER_PROTOCOLS);
  assert.equal(cutForbidden(conntrack, input([policy([])])), 4);
  assert.deepEqual(conntrack.left(), []);
});

test("a ping is left where its peer may send everything, and cut where it may dial ports alone", () => {
  const everything = tracked(OTHER_PROTOCOLS);
  assert.equal(cutForbidden(everything, input([policy([{ peers: fromClient }])])), 0);
  const ports = tracked(OTHER_PROTOCOLS);
  const dialled = [
    { peers: fromClient, ports: [{ protocol: "TCP" as const }, { protocol: "UDP" as const, port: 80 }] },
  ];
  assert.equal(cutForbidden(ports, input([policy(dialled)])), 4);
});

test("what the server itself pings is left: nothing speaks of its egress", () => {
  const conntrack = tracked([flow("icmp", "10.244.1.1", "10.244.2.1", 1)]);
  assert.equal(cutForbidden(conntrack, input([policy([])])), 0);
});

test("a flow that the kernel does not let go is told of, behind all the others", () => {
  const flows = [1, 2, 3].map((id) => flow("tcp", "10.244.2.1", "10.244.1.1", id));
  const conntrack = tracked(flows, [1]);
  assert.throws(() => cutForbidden(conntrack, input([policy([])])), /EBUSY of 1/);
  assert.deepEqual(conntrack.left(), [1]);
});

test("an address of a pod of this node is its own, also where the API tells of another node's pod with it", () => {
  const conntrack = tracked([flow("tcp", "10.244.2.1", "10.244.1.1", 1)]);
  const stale = pod("stale", ["10.244.1.1"], "node9");
  assert.equal(cutForbidden(conntrack, input([policy([])], [server, client, stale])), 1);
});

test("what a pod and its own node say to each other is left, by a Service's address, too; another node's is cut", () => {
  const direct = [
    flow("tcp", "192.168.1.11", "10.244.1.1", 1),
    flow("tcp", "10.244.1.0", "10.244.1.1", 2),
    flow("tcp", "10.244.1.1", "192.168.1.11", 3),
    flow("tcp", "192.168.1.12", "10.244.1.1", 4),
    flow("tcp", "10.244.2.0", "10.244.1.1", 5),
    flow("tcp", "10.244.1.1", "192.168.1.12", 6),
  ];
  const byService = direct.map((entry) => {
    const original = { ...entry.original, destination: "10.96.0.10" };
    return { ...entry, original, id: entry.id + 10 };
  });
  const conntrack = tracked([...direct, ...byService]);
  assert.equal(cutForbidden(conntrack, input([{ ...policy([]), egress: [] }])), 6);
  assert.deepEqual(conntrack.left(), [1, 2, 3, 11, 12, 13]);
});
