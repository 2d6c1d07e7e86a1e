/** core/v1 Pod -> {@link PolicyPod}: what policies must know of a pod. Undefined for pods that are none to policies. */
import type { PolicyPod } from "../model/policy.ts";
import { asObject, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { listItems } from "./parse-fields.ts";
import { parsePod } from "./parse-pod.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

/** Pods of the host network have their node's address; a pod that is over has given its address back. */
export function parsePolicyPod(object: JsonObject, report: ReportField): PolicyPod | undefined {
  const { namespace, name, uid, labels, nodeName, podIps, hostNetwork, phase } = parsePod(object, report);
  if (hostNetwork || phase === "Succeeded" || phase === "Failed") return undefined;
  return {
    namespace,
    name,
    uid,
    labels,
    nodeName,
    ips: podIps,
    ports: namedPorts(asObject(object["spec"]) ?? {}, report),
  };
}

/** Ports of sidecars count as those of containers do (KEP-753). */
function namedPorts(spec: JsonObject, report: ReportField): PolicyPod["ports"] {
  const lists = ["containers", "initContainers"] as const;
  return lists.flatMap((list) =>
    (listItems(spec[list], `spec.${list}`, report) ?? []).flatMap(({ item, path }) => {
      const container = asObject(item) ?? {};
      if (list === "initContainers" && container["restartPolicy"] !== "Always") return [];
      return (listItems(container["ports"], `${path}.ports`, report) ?? []).flatMap(({ item: each }) => {
        const { name, containerPort, protocol = "TCP" } = asObject(each) ?? {};
        const known = PROTOCOLS.find((word) => word === protocol);
        if (typeof name !== "string" || typeof containerPort !== "number" || known === undefined) return [];
        return [{ name, protocol: known, port: containerPort }];
      });
    }),
  );
}
