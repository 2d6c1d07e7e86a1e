import assert from "node:assert/strict";
import { test } from "node:test";
import { at, type Fields, type KubeObject } from "../api/object/object.ts";
import { StatusError } from "../api/object/status.ts";
import { startLab, type TestLab } from "./test-lab.ts";

function map(lab: TestLab, name: string, metadata: Fields = {}): KubeObject {
  return lab.store.create({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", ...metadata },
  });
}

const ownedBy = (owner: KubeObject, more: Fields = {}) => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid,
  ...more,
});

const exists = (lab: TestLab, name: string) => lab.store.get("configmaps", "default", name) !== undefined;

test("garbage collector: dependents go with the last of their owners", async (context) => {
  const lab = startLab(context);
  const [one, two] = [map(lab, "one"), map(lab, "two")];
  map(lab, "child", { ownerReferences: [ownedBy(one), ownedBy(two)] });
  lab.store.delete("configmaps", "default", "one");
  await lab.settle();
  assert.deepEqual(
    lab.store.get("configmaps", "default", "child")?.metadata.ownerReferences?.map(({ name }) => name),
    ["two"],
  );
  lab.store.delete("configmaps", "default", "two");
  await lab.settle();
  assert.equal(exists(lab, "child"), false);
});

test("garbage collector: an object born after its owner is gone goes too", async (context) => {
  const lab = startLab(context);
  const owner = map(lab, "owner");
  lab.store.delete("configmaps", "default", "owner");
  map(lab, "owner");
  map(lab, "child", { ownerReferences: [ownedBy(owner)] });
  await lab.settle();
  assert.equal(exists(lab, "child"), false, "a new object of the owner's name is not the owner");
});

test("garbage collector: an owner of a kind that is not served is not taken for gone", async (context) => {
  const lab = startLab(context);
  map(lab, "child", { ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "rs", uid: "u" }] });
  await lab.settle();
  assert.equal(exists(lab, "child"), true);
});

test("garbage collector: foreground waits for what blocks, orphan lets dependents live", async (context) => {
  const lab = startLab(context);
  const owner = map(lab, "owner");
  map(lab, "child", { ownerReferences: [ownedBy(owner, { blockOwnerDeletion: true })], finalizers: ["x.io/hold"] });
  lab.store.delete("configmaps", "default", "owner", { propagationPolicy: "Foreground" });
  await lab.settle();
  assert.deepEqual([exists(lab, "owner"), exists(lab, "child")], [true, true]);
  lab.store.modify("configmaps", "default", "child", (draft) =>
    Object.assign(draft.metadata, { finalizers: draft.metadata.finalizers?.filter((name) => name !== "x.io/hold") }),
  );
  await lab.settle();
  assert.deepEqual([exists(lab, "owner"), exists(lab, "child")], [false, false]);

  const parent = map(lab, "parent");
  map(lab, "orphan", { ownerReferences: [ownedBy(parent)] });
  lab.store.delete("configmaps", "default", "parent", { propagationPolicy: "Orphan" });
  await lab.settle();
  assert.deepEqual([exists(lab, "parent"), exists(lab, "orphan")], [false, true]);
  assert.equal(lab.store.get("configmaps", "default", "orphan")?.metadata.ownerReferences, undefined);
});

test("namespaces: a deleted one is emptied first, and takes nothing new meanwhile", async (context) => {
  const lab = startLab(context);
  lab.store.create({ apiVersion: "v1", kind: "Namespace", metadata: { name: "n" } });
  map(lab, "a", { namespace: "n" });
  map(lab, "held", { namespace: "n", finalizers: ["x.io/hold"] });
  lab.store.delete("namespaces", undefined, "n");
  await lab.settle();
  assert.equal(lab.store.get("configmaps", "n", "a"), undefined);
  assert.equal(at(lab.store.get("namespaces", undefined, "n"), "status", "phase"), "Terminating");
  assert.throws(
    () => map(lab, "late", { namespace: "n" }),
    (error) => error instanceof StatusError && error.code === 403 && /is being terminated/.test(error.message),
  );
  lab.store.modify("configmaps", "n", "held", (draft) => Object.assign(draft.metadata, { finalizers: undefined }));
  await lab.settle();
  assert.equal(lab.store.get("namespaces", undefined, "n"), undefined);
});

test("namespaces: default, kube-system and kube-public cannot be deleted", (context) => {
  const { store } = startLab(context);
  for (const name of ["default", "kube-system", "kube-public"]) {
    assert.throws(() => store.delete("namespaces", undefined, name), /may not be deleted/);
  }
});

test("namespaces: the four of every cluster are there, named by a label, with a default ServiceAccount", async (context) => {
  const lab = startLab(context);
  await lab.settle();
  const names = lab.store.list("namespaces").map(({ metadata }) => metadata.labels?.["kubernetes.io/metadata.name"]);
  assert.deepEqual(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
  assert.ok(lab.store.get("serviceaccounts", "kube-system", "default"));
});

test("pod garbage: Pods of a node that is gone go with it", async (context) => {
  const lab = startLab(context);
  lab.node("node1");
  lab.pod("p");
  await lab.settle();
  lab.store.delete("nodes", undefined, "node1");
  await lab.settle();
  assert.equal(lab.store.get("pods", "default", "p"), undefined);
});
