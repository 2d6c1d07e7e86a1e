import assert from "node:assert/strict";
import { test } from "node:test";
import { at, type Fields, listOf } from "../api/object/object.ts";
import { startLab } from "./test-lab.ts";

const nodeOf = (pod: unknown) => at(pod, "spec", "nodeName");

test("scheduler: Pods spread over nodes, fewest first", async (context) => {
  const lab = startLab(context);
  for (const name of ["node1", "node2", "node10"]) lab.node(name);
  for (let i = 0; i < 6; i++) lab.pod(`p${i}`);
  await lab.settle();
  const nodes = lab.store.list("pods").map(nodeOf);
  assert.deepEqual(nodes, ["node1", "node2", "node10", "node1", "node2", "node10"]);
  const [condition] = listOf(at(lab.store.get("pods", "default", "p0"), "status", "conditions"));
  assert.deepEqual([at(condition, "type"), at(condition, "status")], ["PodScheduled", "True"]);
  assert.match(String(lab.store.list("events")[0]?.["message"]), /Successfully assigned default\/p0 to node1/);
});

test("scheduler: a Pod that fits nowhere says why, and is bound when a node comes that fits", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  lab.pod("p", { spec: { nodeSelector: { disk: "ssd" } } });
  await lab.settle();
  const pending = lab.store.get("pods", "default", "p");
  const [condition] = listOf(at(pending, "status", "conditions"));
  assert.equal(
    at(condition, "message"),
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
  );
  lab.node("node2", { metadata: { labels: { disk: "ssd" } } });
  await lab.settle();
  assert.equal(nodeOf(lab.store.get("pods", "default", "p")), "node2");
});

test("scheduler: two Pods do not share a host port, unless address or protocol differ", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  lab.node("node2");
  const add = async (name: string, port: Fields) => {
    const containers = [{ name: "c", image: "x:1", ports: [{ containerPort: 80, ...port }] }];
    lab.pod(name, { spec: { containers, nodeSelector: { "kubernetes.io/hostname": "node1" } } });
    await lab.settle();
  };
  for (const name of ["node1", "node2"])
    lab.store.modify("nodes", undefined, name, (draft) =>
      Object.assign(draft.metadata, { labels: { "kubernetes.io/hostname": name } }),
    );
  await add("a", { hostPort: 8080, hostIP: "192.168.1.11" });
  await add("other-address", { hostPort: 8080, hostIP: "127.0.0.1" });
  await add("other-protocol", { hostPort: 8080, protocol: "UDP" });
  await add("no-host-port", {});
  for (const name of ["a", "other-address", "other-protocol", "no-host-port"])
    assert.equal(nodeOf(lab.store.get("pods", "default", name)), "node1", name);
  await add("every-address", { hostPort: 8080 });
  const pending = lab.store.get("pods", "default", "every-address");
  assert.equal(nodeOf(pending), undefined);
  assert.match(
    String(at(listOf(at(pending, "status", "conditions"))[0], "message")),
    /1 node\(s\) didn't have free ports for the requested pod ports/,
  );
  for (const name of ["a", "other-address"]) lab.store.delete("pods", "default", name, { gracePeriodSeconds: 0 });
  await lab.settle();
  assert.equal(nodeOf(lab.store.get("pods", "default", "every-address")), "node1", "the ports are free again");
});

const affinity = (terms: unknown[]): Fields => ({
  affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
});
const taints = [{ key: "k", value: "v", effect: "NoSchedule" }];

const FITS: readonly { name: string; node?: Fields; pod?: Fields; fits: boolean }[] = [
  { name: "a ready node", fits: true },
  {
    name: "a node that is not ready",
    node: { status: { conditions: [{ type: "Ready", status: "False" }] } },
    fits: false,
  },
  { name: "a node that was never heard of", node: { status: {} }, fits: false },
  { name: "a cordoned node", node: { spec: { unschedulable: true } }, fits: false },
  { name: "a tainted node", node: { spec: { taints } }, fits: false },
  {
    name: "a tolerated taint",
    node: { spec: { taints } },
    pod: { tolerations: [{ key: "k", value: "v", effect: "NoSchedule" }] },
    fits: true,
  },
  {
    name: "any taint tolerated",
    node: { spec: { taints } },
    pod: { tolerations: [{ operator: "Exists" }] },
    fits: true,
  },
  {
    name: "a node that is full",
    node: { status: { conditions: [{ type: "Ready", status: "True" }], allocatable: { pods: "0" } } },
    fits: false,
  },
  {
    name: "affinity In",
    pod: affinity([{ matchExpressions: [{ key: "zone", operator: "In", values: ["a"] }] }]),
    fits: true,
  },
  {
    name: "affinity NotIn",
    pod: affinity([{ matchExpressions: [{ key: "zone", operator: "NotIn", values: ["a"] }] }]),
    fits: false,
  },
  {
    name: "one of two terms",
    pod: affinity([
      { matchExpressions: [{ key: "x", operator: "Exists" }] },
      { matchExpressions: [{ key: "zone", operator: "Exists" }] },
    ]),
    fits: true,
  },
  { name: "an empty term", pod: affinity([{}]), fits: false },
  {
    name: "affinity to the name",
    pod: affinity([{ matchFields: [{ key: "metadata.name", operator: "In", values: ["node1"] }] }]),
    fits: true,
  },
  { name: "another scheduler", pod: { schedulerName: "other" }, fits: false },
  { name: "a scheduling gate", pod: { schedulingGates: [{ name: "x.io/wait" }] }, fits: false },
];

for (const { name, node, pod = {}, fits } of FITS) {
  test(`scheduler: ${name} ${fits ? "takes" : "does not take"} the Pod`, async (context) => {
    const lab = startLab(context);
    lab.node("node1", { metadata: { labels: { zone: "a" } }, ...node });
    lab.pod("p", { spec: pod });
    await lab.settle();
    assert.equal(nodeOf(lab.store.get("pods", "default", "p")), fits ? "node1" : undefined);
  });
}
