/**
 * Pods as `kubectl get pods` shows them: readiness and the one word of status that sums up phase, container states and
 * deletion (pkg/printers/internalversion, printPod).
 */
import { at, type KubeObject, listOf, textOf } from "../object/object.ts";
import { age, columns, type Printer } from "../table/printer.ts";

export const POD_PRINTER: Printer = {
  columns: columns("Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"),
  cells: (pod, now) => {
    const statuses = listOf(at(pod, "status", "containerStatuses"));
    const ready = statuses.filter((status) => at(status, "ready") === true && isRunning(status)).length;
    const total = listOf(at(pod, "spec", "containers")).length;
    return [
      pod.metadata.name,
      `${ready}/${total}`,
      podReason(pod),
      restarts(statuses, now),
      age(pod.metadata.creationTimestamp, now),
      textOf(at(listOf(at(pod, "status", "podIPs"))[0], "ip")) || textOf(at(pod, "status", "podIP")) || "<none>",
      textOf(at(pod, "spec", "nodeName")) || "<none>",
      textOf(at(pod, "status", "nominatedNodeName")) || "<none>",
      readinessGates(pod),
    ];
  },
};

function isRunning(status: unknown): boolean {
  return at(status, "state", "running") !== undefined;
}

function podReason(pod: KubeObject): string {
  let reason = textOf(at(pod, "status", "reason")) || textOf(at(pod, "status", "phase"));
  if (at(podCondition(pod, "PodScheduled"), "reason") === "SchedulingGated") reason = "SchedulingGated";
  const initializing = initReason(pod);
  if (initializing !== undefined) reason = initializing;
  else reason = containersReason(pod, reason);
  if (pod.metadata.deletionTimestamp === undefined) return reason;
  return at(pod, "status", "reason") === "NodeLost" ? "Unknown" : "Terminating";
}

/** Undefined once every init container is through. */
function initReason(pod: KubeObject): string | undefined {
  const statuses = listOf(at(pod, "status", "initContainerStatuses"));
  const total = listOf(at(pod, "spec", "initContainers")).length;
  for (const [i, status] of statuses.entries()) {
    const terminated = at(status, "state", "terminated");
    if (terminated !== undefined && at(terminated, "exitCode") === 0) continue;
    if (terminated !== undefined) return `Init:${terminatedReason(terminated)}`;
    const waiting = textOf(at(status, "state", "waiting", "reason"));
    return waiting !== "" && waiting !== "PodInitializing" ? `Init:${waiting}` : `Init:${i}/${total}`;
  }
  return undefined;
}

function containersReason(pod: KubeObject, phase: string): string {
  let reason = phase;
  let hasRunning = false;
  for (const status of [...listOf(at(pod, "status", "containerStatuses"))].reverse()) {
    const waiting = textOf(at(status, "state", "waiting", "reason"));
    const terminated = at(status, "state", "terminated");
    if (waiting !== "") reason = waiting;
    else if (terminated !== undefined) reason = terminatedReason(terminated);
    else if (at(status, "ready") === true && isRunning(status)) hasRunning = true;
  }
  if (reason !== "Completed" || !hasRunning) return reason;
  return at(podCondition(pod, "Ready"), "status") === "True" ? "Running" : "NotReady";
}

function terminatedReason(terminated: unknown): string {
  const reason = textOf(at(terminated, "reason"));
  if (reason !== "") return reason;
  const signal = at(terminated, "signal");
  return signal ? `Signal:${signal}` : `ExitCode:${at(terminated, "exitCode")}`;
}

function restarts(statuses: readonly unknown[], now: Date): string {
  const count = statuses.reduce((sum: number, status) => sum + Number(at(status, "restartCount") ?? 0), 0);
  const times = statuses.map((status) => textOf(at(status, "lastState", "terminated", "finishedAt"))).sort();
  const last = times.at(-1);
  return count > 0 && last ? `${count} (${age(last, now)} ago)` : String(count);
}

function readinessGates(pod: KubeObject): string {
  const gates = listOf(at(pod, "spec", "readinessGates"));
  if (gates.length === 0) return "<none>";
  const ready = gates.filter((gate) => at(podCondition(pod, textOf(at(gate, "conditionType"))), "status") === "True");
  return `${ready.length}/${gates.length}`;
}

/** A condition of the Pod's (or another object's) status by type. */
export function podCondition(object: KubeObject, type: string): unknown {
  return listOf(at(object, "status", "conditions")).find((condition) => at(condition, "type") === type);
}
