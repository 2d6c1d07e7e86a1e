/** The Node that the lab's kubelet registers, and its status. */
import { availableParallelism, release, totalmem } from "node:os";
import { arch, platform } from "node:process";
import { timestamp } from "./timestamp.ts";

export interface NodeIdentity {
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** Pods of one lab node: more than a real kubelet's 110, since most of them are a few sockets. */
const POD_CAPACITY = 250;

export function nodeObject({ nodeName, labels }: NodeIdentity) {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: nodeName,
      labels: {
        "kubernetes.io/hostname": nodeName,
        "kubernetes.io/os": platform,
        "kubernetes.io/arch": arch === "x64" ? "amd64" : arch,
        ...labels,
      },
    },
    spec: {},
  };
}

export function nodeStatus({ nodeName, nodeIps }: NodeIdentity, ready: boolean) {
  const now = timestamp();
  const resources = {
    cpu: String(availableParallelism()),
    memory: `${Math.floor(totalmem() / 1024)}Ki`,
    pods: String(POD_CAPACITY),
  };
  const condition = (type: string, status: boolean, reason: string, message: string) => ({
    type,
    status: status ? "True" : "False",
    lastHeartbeatTime: now,
    lastTransitionTime: now,
    reason,
    message,
  });
  return {
    addresses: [
      ...nodeIps.map((address) => ({ type: "InternalIP", address })),
      { type: "Hostname", address: nodeName },
    ],
    capacity: resources,
    allocatable: resources,
    conditions: [
      condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
      condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
      condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
      ready
        ? condition("Ready", true, "KubeletReady", "kubelet is posting ready status")
        : condition("Ready", false, "KubeletNotReady", "container runtime network not ready: no CNI configuration yet"),
    ],
    nodeInfo: {
      architecture: arch === "x64" ? "amd64" : arch,
      operatingSystem: platform,
      osImage: "Breakwater lab",
      kernelVersion: release(),
      kubeletVersion: "v1.32.0-lab",
      kubeProxyVersion: "",
      containerRuntimeVersion: "lab://namespaces",
      machineID: "",
      systemUUID: "",
      bootID: "",
    },
  };
}
