/**
 * Which nodes a Pod may run on: readiness, cordon, taints, node selector, required node affinity, room.
 */
import { at, fieldsOf, type KubeObject, listOf, textOf } from "../api/object/object.ts";
import { expressionSelector } from "../api/selector/label-selector.ts";

/** Why the node will not do, in the scheduler's words; undefined when it will. */
export function misfit(pod: KubeObject, node: KubeObject, podCount: number): string | undefined {
  if (!isReady(node)) return "node(s) were not ready";
  if (at(node, "spec", "unschedulable") === true && !tolerates(pod, UNSCHEDULABLE)) return "node(s) were unschedulable";
  const taint = listOf(at(node, "spec", "taints")).find((item) => isHard(item) && !tolerates(pod, item));
  if (taint !== undefined) {
    const value = textOf(at(taint, "value"));
    return `node(s) had untolerated taint {${textOf(at(taint, "key"))}: ${value}}`;
  }
  if (!matchesSelector(pod, node) || !matchesAffinity(pod, node))
    return "node(s) didn't match Pod's node affinity/selector";
  const room = Number(at(node, "status", "allocatable", "pods") ?? Number.POSITIVE_INFINITY);
  return podCount >= room ? "Too many pods" : undefined;
}

const UNSCHEDULABLE = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

function isReady(node: KubeObject): boolean {
  return listOf(at(node, "status", "conditions")).some(
    (condition) => at(condition, "type") === "Ready" && at(condition, "status") === "True",
  );
}

function isHard(taint: unknown): boolean {
  return at(taint, "effect") === "NoSchedule" || at(taint, "effect") === "NoExecute";
}

function tolerates(pod: KubeObject, taint: unknown): boolean {
  return listOf(at(pod, "spec", "tolerations")).some((toleration) => {
    const { key, operator, value, effect } = fieldsOf(toleration);
    if (effect && effect !== at(taint, "effect")) return false;
    if (!key) return operator === "Exists";
    if (key !== at(taint, "key")) return false;
    return operator === "Exists" || textOf(value) === textOf(at(taint, "value"));
  });
}

function matchesSelector(pod: KubeObject, node: KubeObject): boolean {
  const labels = node.metadata.labels ?? {};
  return Object.entries(fieldsOf(at(pod, "spec", "nodeSelector"))).every(([key, value]) => labels[key] === value);
}

/** Terms are alternatives; a term without requirements matches nothing. */
function matchesAffinity(pod: KubeObject, node: KubeObject): boolean {
  const required = at(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution");
  if (required === undefined) return true;
  return listOf(at(required, "nodeSelectorTerms")).some((term) => {
    const expressions = listOf(at(term, "matchExpressions"));
    const fields = listOf(at(term, "matchFields"));
    if (expressions.length + fields.length === 0) return false;
    return (
      expressionSelector(expressions)(node.metadata.labels ?? {}) &&
      expressionSelector(fields)({ "metadata.name": node.metadata.name })
    );
  });
}
