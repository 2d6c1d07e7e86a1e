/** core/v1 Pod -> {@link PolicyPod}: what policies must know of a pod. Undefined for pods that are none to policies. */
import type { PolicyPod } from "../model/policy.ts";
import { containerPorts } from "./container-ports.ts";
import { asObject, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { parsePod } from "./parse-pod.ts";

/** Pods of the host network have their node's address; a pod that is over has given its address back. */
export function parsePolicyPod(object: JsonObject, report: ReportField): PolicyPod | undefined {
  const { namespace, name, uid, labels, nodeName, podIps, hostNetwork, phase } = parsePod(object, report);
  if (hostNetwork || phase === "Succeeded" || phase === "Failed") return undefined;
  const declared = containerPorts(asObject(object["spec"]) ?? {}, report);
  return {
    namespace,
    name,
    uid,
    labels,
    nodeName,
    ips: podIps,
    ports: declared.flatMap((port) => (port.name === undefined ? [] : [{ ...port, name: port.name }])),
  };
}
