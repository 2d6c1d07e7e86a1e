/**
 * Binds Pods to nodes: of those that fit, the one with the fewest Pods.
 */

import { at, fieldsOf, type KubeObject, listOf, textOf } from "../api/object/object.ts";
import { StatusError } from "../api/object/status.ts";
import { timestamp } from "../api/registry/registry.ts";
import { keyOf } from "../api/store/collection.ts";
import type { Store } from "../api/store.ts";
import { type ControllerContext, splitKey } from "./controller.ts";
import { isOver } from "./endpoints-of-service.ts";
import { hostPortsClash, hostPortsOf } from "./host-ports.ts";
import { misfit } from "./node-fit.ts";

const SCHEDULER = "default-scheduler";

export function startScheduler(context: ControllerContext): void {
  const { store, queue } = context;
  const podsOnNode = new Map<string, number>();
  const pending = new Set<string>();
  const work = queue("pods", (key) => {
    const { namespace, name } = splitKey(key);
    const pod = store.get("pods", namespace, name);
    if (pod === undefined || !isPending(pod)) pending.delete(key);
    else schedule(context, pod, podsOnNode);
  });
  store.subscribe("pods", ({ type, object, previous }) => {
    const key = keyOf(object);
    if (previous !== undefined) count(podsOnNode, previous, -1);
    if (type !== "DELETED") count(podsOnNode, object, 1);
    // Ports of its node are free again.
    if (type === "DELETED" || isOver(object)) for (const waiting of pending) work.add(waiting);
    if (type === "DELETED" || !isPending(object)) pending.delete(key);
    else if (!pending.has(key) || specChanged(object, previous)) {
      pending.add(key);
      work.add(key);
    }
  });
  // Room made on a node, and every change of a node, may be what a pending Pod waits for.
  store.subscribe("nodes", () => {
    for (const key of pending) work.add(key);
  });
}

function isPending(pod: KubeObject): boolean {
  return (
    textOf(at(pod, "spec", "nodeName")) === "" &&
    pod.metadata.deletionTimestamp === undefined &&
    at(pod, "spec", "schedulerName") === SCHEDULER &&
    listOf(at(pod, "spec", "schedulingGates")).length === 0
  );
}

function specChanged(pod: KubeObject, previous: KubeObject | undefined): boolean {
  return pod.metadata.generation !== previous?.metadata.generation;
}

function count(podsOnNode: Map<string, number>, pod: KubeObject, step: number): void {
  const node = textOf(at(pod, "spec", "nodeName"));
  if (node !== "") podsOnNode.set(node, (podsOnNode.get(node) ?? 0) + step);
}

function schedule(context: ControllerContext, pod: KubeObject, podsOnNode: ReadonlyMap<string, number>): void {
  const { store, events } = context;
  const nodes = [...store.list("nodes")].sort((a, b) => compareNames(a.metadata.name, b.metadata.name));
  const misfits: string[] = [];
  const taken = takenPorts(store, pod);
  let best: { name: string; pods: number } | undefined;
  for (const node of nodes) {
    const { name } = node.metadata;
    const pods = podsOnNode.get(name) ?? 0;
    const reason = misfit(pod, node, pods) ?? (taken?.has(name) ? PORTS_TAKEN : undefined);
    if (reason !== undefined) misfits.push(reason);
    else if (best === undefined || pods < best.pods) best = { name, pods };
  }
  const { namespace = "", name } = pod.metadata;
  if (best === undefined) {
    markUnschedulable(context, pod, nodes.length, misfits);
    return;
  }
  try {
    store.bind(namespace, name, best.name);
  } catch (error) {
    // Somebody else bound or deleted it: nothing is left to do.
    if (error instanceof StatusError && error.code === 409) return;
    throw error;
  }
  events.record(pod, SCHEDULER, "Normal", "Scheduled", `Successfully assigned ${namespace}/${name} to ${best.name}`);
}

const PORTS_TAKEN = "node(s) didn't have free ports for the requested pod ports";

/** Nodes on which another Pod has a host port that this one asks for; undefined for the many that ask for none. */
function takenPorts(store: Store, pod: KubeObject): ReadonlySet<string> | undefined {
  const wanted = hostPortsOf(pod);
  if (wanted.length === 0) return undefined;
  const others = store.list("pods").filter((other) => !isOver(other) && hostPortsClash(wanted, hostPortsOf(other)));
  return new Set(others.map((other) => textOf(at(other, "spec", "nodeName"))));
}

/** "node2" before "node10". */
function compareNames(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1);
}

function markUnschedulable(
  context: ControllerContext,
  pod: KubeObject,
  total: number,
  misfits: readonly string[],
): void {
  const reasons = [...Map.groupBy(misfits, (reason) => reason)]
    .map(([reason, group]) => `${group.length} ${reason}`)
    .sort();
  const message =
    total === 0 ? "no nodes available to schedule pods" : `0/${total} nodes are available: ${reasons.join(", ")}.`;
  const conditions = listOf(at(pod, "status", "conditions"));
  const known = conditions.find((condition) => at(condition, "type") === "PodScheduled");
  if (at(known, "message") === message && at(known, "status") === "False") return;
  const condition = {
    type: "PodScheduled",
    status: "False",
    reason: "Unschedulable",
    message,
    lastProbeTime: null,
    lastTransitionTime: at(known, "status") === "False" ? at(known, "lastTransitionTime") : timestamp(context.now()),
  };
  context.store.modify(
    "pods",
    pod.metadata.namespace,
    pod.metadata.name,
    (draft) => {
      const others = conditions.filter((item) => item !== known);
      draft["status"] = { ...fieldsOf(draft["status"]), conditions: [...others, condition] };
    },
    { subresource: "status" },
  );
  context.events.record(pod, SCHEDULER, "Warning", "FailedScheduling", message);
}
