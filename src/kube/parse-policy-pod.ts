/** core/v1 Pod -> {@link PolicyPod}: what policies must know of a pod. Undefined for pods that are none to policies. */
import type { ClusterPod } from "../model/cluster.ts";
import type { PolicyPod } from "../model/policy.ts";
import { type ContainerPort, containerPorts } from "./container-ports.ts";
import { asObject, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { parsePod } from "./parse-pod.ts";

export function parsePolicyPod(object: JsonObject, report: ReportField): PolicyPod | undefined {
  return policyPodOf(parsePod(object, report), () => containerPorts(asObject(object["spec"]) ?? {}, report));
}

/** Pods of the host network have their node's address; a pod that is over has given its address back. */
export function policyPodOf(pod: ClusterPod, declared: () => readonly ContainerPort[]): PolicyPod | undefined {
  const { namespace, name, uid, labels, nodeName, podIps, hostNetwork, phase } = pod;
  if (hostNetwork || phase === "Succeeded" || phase === "Failed") return undefined;
  const ports = declared().flatMap((port) => (port.name === undefined ? [] : [{ ...port, name: port.name }]));
  return { namespace, name, uid, labels, nodeName, ips: podIps, ports };
}
