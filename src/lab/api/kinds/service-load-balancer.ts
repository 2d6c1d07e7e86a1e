/**
 * What only Services of type LoadBalancer have: source ranges, a health check port, and what a load balancer reports in
 * the status (ValidateService and ValidateLoadBalancerStatus of pkg/apis/core/validation).
 */
import { tryParseIp } from "../../../model/ip.ts";
import { parsePrefix } from "../../../model/prefix.ts";
import type { FieldErrors } from "../object/field-errors.ts";
import { subdomainFault } from "../object/names.ts";
import { at, type Fields, fieldsOf, isFields, type KubeObject, listOf, textOf } from "../object/object.ts";
import { oneOf } from "./pod-validation.ts";

const SOURCE_RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges";

/** The load balancer has a port of its own to ask a node whether it has endpoints. */
export function needsHealthCheckPort(spec: Fields): boolean {
  return spec["type"] === "LoadBalancer" && spec["externalTrafficPolicy"] === "Local";
}

/** An address is one that nodes answer for, unless the balancer says otherwise. */
export function defaultIngress(service: KubeObject): void {
  if (at(service, "spec", "type") !== "LoadBalancer") return;
  for (const ingress of listOf(at(service, "status", "loadBalancer", "ingress"))) {
    if (isFields(ingress) && textOf(ingress["ip"]) !== "") ingress["ipMode"] ??= "VIP";
  }
}

/** A Service that is no LoadBalancer any more has lost its balancer. */
export function dropIngress(service: KubeObject): void {
  if (at(service, "spec", "type") === "LoadBalancer") return;
  if (at(service, "status", "loadBalancer", "ingress") === undefined) return;
  service["status"] = { ...fieldsOf(service["status"]), loadBalancer: {} };
}

export function validateLoadBalancer(service: KubeObject, errors: FieldErrors): void {
  const spec = fieldsOf(service["spec"]);
  validateSourceRanges(service, spec, errors);
  if (spec["healthCheckNodePort"] && !needsHealthCheckPort(spec)) {
    const rule = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], rule);
  }
  const ingress = listOf(at(service, "status", "loadBalancer", "ingress"));
  const field = "status.loadBalancer.ingress";
  if (ingress.length > 0 && spec["type"] !== "LoadBalancer")
    errors.forbidden(field, 'may only be used when `spec.type` is "LoadBalancer"');
  for (const [i, entry] of ingress.entries()) validateIngress(fieldsOf(entry), `${field}[${i}]`, errors);
}

/** The field, or in its absence the annotation that was there before it. */
function validateSourceRanges({ metadata }: KubeObject, spec: Fields, errors: FieldErrors): void {
  const listed = listOf(spec["loadBalancerSourceRanges"]);
  const annotation = metadata.annotations?.[SOURCE_RANGES_ANNOTATION];
  if (listed.length === 0 && annotation === undefined) return;
  const field =
    listed.length > 0 ? "spec.loadBalancerSourceRanges" : `metadata.annotations[${SOURCE_RANGES_ANNOTATION}]`;
  if (spec["type"] !== "LoadBalancer") errors.forbidden(field, "may only be used when `type` is 'LoadBalancer'");
  const ranges = listed.length > 0 ? listed : (annotation ?? "").split(",").filter((range) => range.trim() !== "");
  for (const [i, range] of ranges.entries()) {
    try {
      parsePrefix(textOf(range).trim());
    } catch {
      errors.invalid(`${field}[${i}]`, range, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
  }
}

function validateIngress({ ip, ipMode, hostname }: Fields, field: string, errors: FieldErrors): void {
  if (ip && tryParseIp(textOf(ip)) === undefined) errors.invalid(`${field}.ip`, ip, "must be a valid IP address");
  if (ipMode && !ip) errors.forbidden(`${field}.ipMode`, "may not be specified when `ip` is not set");
  if (ip) oneOf(ipMode, ["Proxy", "VIP"], `${field}.ipMode`, errors);
  if (!hostname) return;
  const fault = subdomainFault(textOf(hostname));
  if (fault !== undefined) errors.invalid(`${field}.hostname`, hostname, fault);
  else if (tryParseIp(textOf(hostname)) !== undefined)
    errors.invalid(`${field}.hostname`, hostname, "must be a DNS name, not an IP address");
}
