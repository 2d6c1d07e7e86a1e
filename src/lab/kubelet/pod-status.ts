/** The status that the lab's kubelet writes for a pod: what kubectl, controllers and EndpointSlices read. */
import type { ContainerState } from "./container-run.ts";
import type { PodWorker } from "./pod-worker.ts";
import { timestamp } from "./timestamp.ts";

export function podStatus(worker: PodWorker, hostIps: readonly string[]) {
  const { pod, ips, initContainers, containers, sidecars } = worker;
  const containersReady = [...sidecars, ...containers].every(({ ready }) => ready);
  const gates = pod.readinessGates.every((gate) => pod.conditions.get(gate) === true);
  const now = timestamp();
  const condition = (type: string, value: boolean, reason?: string, message?: string) => ({
    type,
    status: value ? "True" : "False",
    lastProbeTime: null,
    lastTransitionTime: now,
    ...(reason === undefined || value ? {} : { reason, message }),
  });
  return {
    phase: podPhase(worker),
    startTime: worker.startedAt,
    hostIP: hostIps[0],
    hostIPs: hostIps.map((ip) => ({ ip })),
    ...(ips.length === 0 ? {} : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    conditions: [
      condition("PodReadyToStartContainers", ips.length > 0, "SandboxNotReady", worker.message),
      condition("Initialized", worker.initialized, "ContainersNotInitialized", notReadyMessage(initContainers)),
      condition("Ready", containersReady && gates, containersReady ? "ReadinessGatesNotReady" : "ContainersNotReady"),
      condition("ContainersReady", containersReady, "ContainersNotReady", notReadyMessage(containers)),
      condition("PodScheduled", true),
    ],
    ...(initContainers.length > 0 && {
      initContainerStatuses: initContainers.map((container) => containerStatus(container, worker.message)),
    }),
    containerStatuses: containers.map((container) => containerStatus(container, worker.message)),
    qosClass: "BestEffort",
  };
}

function podPhase({ pod, initContainers, initialized, containers, ips }: PodWorker): string {
  if (ips.length === 0) return "Pending";
  if (!initialized) return pod.restartPolicy === "Never" && initContainers.some(hasFailed) ? "Failed" : "Pending";
  const ended = containers.every(({ state }) => state === "terminated");
  if (!ended || containers.length === 0) return "Running";
  if (pod.restartPolicy === "Always") return "Running";
  return containers.some(hasFailed) ? "Failed" : "Succeeded";
}

function hasFailed({ state, exitCode }: ContainerState): boolean {
  return state === "terminated" && exitCode !== 0;
}

function notReadyMessage(containers: readonly ContainerState[]): string {
  const names = containers.filter(({ ready }) => !ready).map(({ name }) => name);
  return `containers with unready status: [${names.join(" ")}]`;
}

function containerStatus(container: ContainerState, podMessage: string) {
  const { name, image, ready, started, restarts } = container;
  return {
    name,
    image,
    imageID: image,
    ready,
    started,
    restartCount: restarts,
    state: containerState(container, podMessage),
    lastState: {},
  };
}

function containerState({ state, startedAt, exitCode, message }: ContainerState, podMessage: string) {
  if (state === "running") return { running: { startedAt } };
  if (state === "waiting") {
    const crash = message.startsWith("CrashLoopBackOff");
    return { waiting: { reason: crash ? "CrashLoopBackOff" : "ContainerCreating", message: message || podMessage } };
  }
  const reason = exitCode === 0 ? "Completed" : "Error";
  return { terminated: { exitCode, reason, message, startedAt, finishedAt: timestamp() } };
}
