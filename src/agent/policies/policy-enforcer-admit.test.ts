/** What a pod waits for before it has a network. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { POLICY_TABLES } from "../../model/marks.ts";
import { clusterPod, local, Rig, refusal, shut } from "./testing/enforcer-rig.ts";

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
