/** ClusterNetworkPolicies on the fake kernel. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNode } from "../../model/cluster.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import { clusterPod, local, Rig, shut } from "./testing/enforcer-rig.ts";

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
