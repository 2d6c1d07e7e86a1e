/**
 * Binding: the one way spec.nodeName of a Pod is set after its creation.
 */
import { at, clone, fieldsOf, type KubeObject, listOf, textOf } from "../object/object.ts";
import { conflict } from "../object/status.ts";
import type { Registry } from "./registry.ts";

const PODS = { group: "", plural: "pods", kind: "Pod" };

/** @throws StatusError 409 when the Pod is bound, going, or not the one meant */
export function bindPod(registry: Registry, pod: KubeObject, node: string, uid = ""): KubeObject {
  const { name } = pod.metadata;
  const bound = textOf(at(pod, "spec", "nodeName"));
  if (uid !== "" && uid !== pod.metadata.uid)
    throw conflict({ ...PODS, plural: "pods/binding" }, name, `the pod's UID is ${pod.metadata.uid}`);
  if (pod.metadata.deletionTimestamp !== undefined) {
    throw conflict(
      { ...PODS, plural: "pods/binding" },
      name,
      `pod ${name} is being deleted, cannot be assigned to a host`,
    );
  }
  if (bound !== "")
    throw conflict({ ...PODS, plural: "pods/binding" }, name, `pod ${name} is already assigned to node "${bound}"`);
  const next = clone(pod);
  next["spec"] = { ...fieldsOf(next["spec"]), nodeName: node };
  next["status"] = { ...fieldsOf(next["status"]), conditions: scheduled(next, registry.context().now) };
  return registry.database.commit("pods", "MODIFIED", next);
}

function scheduled(pod: KubeObject, now: string): unknown[] {
  const others = listOf(at(pod, "status", "conditions")).filter(
    (condition) => at(condition, "type") !== "PodScheduled",
  );
  return [...others, { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: now }];
}
