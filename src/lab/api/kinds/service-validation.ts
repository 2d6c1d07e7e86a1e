/**
 * What makes a Service unacceptable, and what of it is fixed once it is there.
 */
import type { FieldErrors } from "../object/field-errors.ts";
import { destinationIpFault } from "../object/ip-faults.ts";
import { validateLabels } from "../object/metadata-validation.ts";
import { labelFault, portNameFault, portNumberFault, subdomainFault } from "../object/names.ts";
import { at, type Fields, fieldsOf, type KubeObject, listOf, textOf } from "../object/object.ts";
import { oneOf, PROTOCOLS } from "./pod-validation.ts";
import { keepsClusterIp } from "./service-allocation.ts";
import { takesExternalTraffic } from "./service-defaults.ts";
import { isHeadless } from "./service-ip-families.ts";
import { validateLoadBalancer } from "./service-load-balancer.ts";

export function validateService(service: KubeObject, errors: FieldErrors): void {
  const spec = fieldsOf(service["spec"]);
  oneOf(spec["type"], ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], "spec.type", errors);
  oneOf(spec["sessionAffinity"], ["ClientIP", "None"], "spec.sessionAffinity", errors);
  oneOf(spec["internalTrafficPolicy"], ["Cluster", "Local"], "spec.internalTrafficPolicy", errors);
  oneOf(spec["externalTrafficPolicy"], ["Cluster", "Local"], "spec.externalTrafficPolicy", errors);
  oneOf(spec["ipFamilyPolicy"], ["SingleStack", "PreferDualStack", "RequireDualStack"], "spec.ipFamilyPolicy", errors);
  oneOf(
    spec["trafficDistribution"],
    ["PreferClose", "PreferSameNode", "PreferSameZone"],
    "spec.trafficDistribution",
    errors,
  );
  validateLabels(fieldsOf(spec["selector"]) as Record<string, string>, "spec.selector", errors);
  const seconds = at(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds");
  if (typeof seconds === "number" && (seconds <= 0 || seconds > 86400)) {
    errors.invalid(
      "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
      seconds,
      "must be greater than 0 and less than 86400",
    );
  }
  validatePorts(spec, errors);
  validateAddresses(spec, errors);
  validateType(spec, errors);
  validateLoadBalancer(service, errors);
}

function validatePorts(spec: Fields, errors: FieldErrors): void {
  const ports = listOf(spec["ports"]);
  if (ports.length === 0 && !isHeadless(spec) && spec["type"] !== "ExternalName") errors.required("spec.ports");
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const field = `spec.ports[${i}]`;
    const name = textOf(at(port, "name"));
    if (name === "" && ports.length > 1) errors.required(`${field}.name`);
    const fault = name === "" ? undefined : labelFault(name);
    if (fault !== undefined) errors.invalid(`${field}.name`, name, fault);
    if (name !== "" && names.has(name)) errors.duplicate(`${field}.name`, name);
    names.add(name);
    validatePort(fieldsOf(port), field, errors);
    const number = `${at(port, "protocol")}/${at(port, "port")}`;
    if (numbers.has(number)) errors.duplicate(field, { port: at(port, "port"), protocol: at(port, "protocol") });
    numbers.add(number);
    if (at(port, "nodePort") && spec["type"] === "ClusterIP") {
      errors.forbidden(`${field}.nodePort`, "may not be used when `type` is 'ClusterIP'");
    }
  }
}

function validatePort(port: Fields, field: string, errors: FieldErrors): void {
  const { port: number, targetPort, protocol } = port;
  const fault = portNumberFault(number);
  if (fault !== undefined) errors.invalid(`${field}.port`, number ?? 0, fault);
  const targetFault = typeof targetPort === "string" ? portNameFault(targetPort) : portNumberFault(targetPort);
  if (targetPort !== undefined && targetFault !== undefined)
    errors.invalid(`${field}.targetPort`, targetPort, targetFault);
  oneOf(protocol, PROTOCOLS, `${field}.protocol`, errors);
}

function validateAddresses(spec: Fields, errors: FieldErrors): void {
  for (const [i, ip] of listOf(spec["externalIPs"]).entries()) {
    const fault = destinationIpFault(textOf(ip));
    if (fault !== undefined) errors.invalid(`spec.externalIPs[${i}]`, ip, fault);
  }
  const [first] = listOf(spec["clusterIPs"]);
  if (spec["clusterIP"] !== undefined && first !== undefined && spec["clusterIP"] !== first) {
    errors.invalid("spec.clusterIPs", spec["clusterIPs"], "first value must match `clusterIP`");
  }
}

function validateType(spec: Fields, errors: FieldErrors): void {
  if (spec["type"] === "ExternalName") {
    const name = textOf(spec["externalName"]).replace(/\.$/, "");
    if (name === "") errors.required("spec.externalName");
    else if (subdomainFault(name) !== undefined) errors.invalid("spec.externalName", name, subdomainFault(name) ?? "");
    if (spec["clusterIP"] && spec["clusterIP"] !== "None") {
      errors.forbidden("spec.clusterIPs[0]", "may not be set when `type` is 'ExternalName'");
    }
  }
  if (isHeadless(spec) && (spec["type"] === "NodePort" || spec["type"] === "LoadBalancer")) {
    errors.invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec["type"]} services`);
  }
  if (spec["externalTrafficPolicy"] !== undefined && !takesExternalTraffic(spec)) {
    errors.invalid(
      "spec.externalTrafficPolicy",
      spec["externalTrafficPolicy"],
      "may only be set for externally-accessible services",
    );
  }
}

export function validateServiceUpdate(service: KubeObject, old: KubeObject, errors: FieldErrors): void {
  const spec = fieldsOf(service["spec"]);
  const was = fieldsOf(old["spec"]);
  const bothHaveIps = spec["type"] !== "ExternalName" && was["type"] !== "ExternalName";
  if (bothHaveIps && !keepsClusterIp(service, old)) {
    errors.invalid("spec.clusterIPs[0]", spec["clusterIPs"], "may not change once set");
  }
  const family = listOf(spec["ipFamilies"])[0];
  const oldFamily = listOf(was["ipFamilies"])[0];
  if (bothHaveIps && oldFamily !== undefined && family !== oldFamily) {
    errors.invalid("spec.ipFamilies[0]", spec["ipFamilies"], "may not change once set");
  }
}
