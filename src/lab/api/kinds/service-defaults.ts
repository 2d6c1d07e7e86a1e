/**
 * What the API server fills into a Service before it allocates anything (pkg/apis/core/v1/defaults.go).
 */
import { at, type Fields, fieldsOf, isFields, type KubeObject, listOf } from "../object/object.ts";
import { setDefault } from "./pod-defaults.ts";
import { defaultIngress } from "./service-load-balancer.ts";

/** Three hours: DefaultClientIPServiceAffinitySeconds. */
const CLIENT_IP_TIMEOUT_SECONDS = 10800;

export function defaultService(service: KubeObject): void {
  const spec = fieldsOf(service["spec"]);
  service["spec"] = spec;
  setDefault(spec, "type", "ClusterIP");
  setDefault(spec, "sessionAffinity", "None");
  if (spec["sessionAffinity"] === "None") delete spec["sessionAffinityConfig"];
  if (spec["sessionAffinity"] === "ClientIP") defaultAffinity(spec);
  for (const port of listOf(spec["ports"])) if (isFields(port)) defaultPort(port);
  if (takesExternalTraffic(spec)) setDefault(spec, "externalTrafficPolicy", "Cluster");
  if (spec["type"] !== "ExternalName") setDefault(spec, "internalTrafficPolicy", "Cluster");
  if (spec["type"] === "LoadBalancer") setDefault(spec, "allocateLoadBalancerNodePorts", true);
  if (at(service, "status", "loadBalancer") === undefined) {
    service["status"] = { ...fieldsOf(service["status"]), loadBalancer: {} };
  }
  defaultIngress(service);
}

function defaultAffinity(spec: Fields): void {
  const timeoutSeconds = at(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds") ?? CLIENT_IP_TIMEOUT_SECONDS;
  spec["sessionAffinityConfig"] = { clientIP: { timeoutSeconds } };
}

function defaultPort(port: Fields): void {
  setDefault(port, "protocol", "TCP");
  if (port["targetPort"] === undefined || port["targetPort"] === "" || port["targetPort"] === 0) {
    port["targetPort"] = port["port"];
  }
}

/** Traffic can come from outside the cluster: the external traffic policy means something. */
export function takesExternalTraffic(spec: Fields): boolean {
  const { type } = spec;
  return (
    type === "NodePort" || type === "LoadBalancer" || (type === "ClusterIP" && listOf(spec["externalIPs"]).length > 0)
  );
}
