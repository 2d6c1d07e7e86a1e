/**
 * Addresses and node ports of a Service: carried over from the stored Service, checked where the client asks for some,
 * allocated where it does not, let go when the type no longer has them.
 */

import { NODE_PORT_RANGE, nodePortsOf } from "../allocate/node-port.ts";
import { FieldErrors } from "../object/field-errors.ts";
import { at, equal, type Fields, fieldsOf, isFields, type KubeObject, listOf } from "../object/object.ts";
import { invalid } from "../object/status.ts";
import type { WriteContext } from "../resources/write-context.ts";
import { completeFamilies, familyNumber, isHeadless } from "./service-ip-families.ts";
import { needsHealthCheckPort } from "./service-load-balancer.ts";

const KIND = { group: "", plural: "services", kind: "Service" };

/** @throws StatusError 422 when what the Service asks for cannot be had */
export function allocateService(service: KubeObject, old: KubeObject | undefined, context: WriteContext): void {
  const errors = new FieldErrors();
  const spec = fieldsOf(service["spec"]);
  if (old !== undefined) carryOver(spec, fieldsOf(old["spec"]));
  allocateIps(spec, old, context, errors);
  allocateNodePorts(spec, old, context, errors);
  if (errors.causes.length > 0) throw invalid(KIND, service.metadata.name, errors.causes);
}

export function hasClusterIp(spec: Fields): boolean {
  return spec["type"] !== "ExternalName";
}

export function hasNodePorts(spec: Fields): boolean {
  return (
    spec["type"] === "NodePort" || (spec["type"] === "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] !== false)
  );
}

/** A client that sends its whole manifest again (PUT, replace) does not name what was allocated to it. */
function carryOver(spec: Fields, old: Fields): void {
  if (hasClusterIp(spec) && hasClusterIp(old)) {
    if (!spec["clusterIP"] && listOf(spec["clusterIPs"]).length === 0) {
      spec["clusterIP"] = old["clusterIP"];
      spec["clusterIPs"] = [...listOf(old["clusterIPs"])];
    }
    spec["ipFamilyPolicy"] ??= old["ipFamilyPolicy"];
    spec["ipFamilies"] ??= [...listOf(old["ipFamilies"])];
  }
  if (hasNodePorts(spec) && hasNodePorts(old)) {
    for (const port of listOf(spec["ports"])) if (isFields(port)) carryNodePort(port, listOf(old["ports"]));
  }
  if (needsHealthCheckPort(spec) && needsHealthCheckPort(old))
    spec["healthCheckNodePort"] ??= old["healthCheckNodePort"];
  dropUnneeded(spec, old);
}

function carryNodePort(port: Fields, oldPorts: readonly unknown[]): void {
  if (port["nodePort"]) return;
  const match = oldPorts.find(
    (other) => at(other, "port") === port["port"] && at(other, "protocol") === port["protocol"],
  );
  const nodePort = at(match, "nodePort");
  if (nodePort) port["nodePort"] = nodePort;
}

/** Fields the new type cannot have go when the client did not touch them (dropTypeDependentFields). */
function dropUnneeded(spec: Fields, old: Fields): void {
  if (hasClusterIp(old) && !hasClusterIp(spec) && spec["clusterIP"] === old["clusterIP"]) {
    for (const name of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"])
      delete spec[name];
  }
  if (hasNodePorts(old) && !hasNodePorts(spec)) {
    const oldPorts = nodePortsOf({ spec: old } as unknown as KubeObject);
    for (const port of listOf(spec["ports"])) {
      if (isFields(port) && oldPorts.has(Number(port["nodePort"]))) delete port["nodePort"];
    }
  }
  if (needsHealthCheckPort(old) && !needsHealthCheckPort(spec)) delete spec["healthCheckNodePort"];
  const external =
    spec["type"] === "NodePort" || spec["type"] === "LoadBalancer" || listOf(spec["externalIPs"]).length > 0;
  if (!external && spec["externalTrafficPolicy"] === old["externalTrafficPolicy"]) delete spec["externalTrafficPolicy"];
  if (old["type"] === "LoadBalancer" && spec["type"] !== "LoadBalancer") delete spec["allocateLoadBalancerNodePorts"];
}

function allocateIps(spec: Fields, old: KubeObject | undefined, context: WriteContext, errors: FieldErrors): void {
  if (!hasClusterIp(spec)) return;
  if (listOf(spec["clusterIPs"]).length === 0 && spec["clusterIP"]) spec["clusterIPs"] = [spec["clusterIP"]];
  completeFamilies(spec, context.serviceIps.families, errors);
  if (isHeadless(spec)) {
    spec["clusterIP"] = "None";
    spec["clusterIPs"] = ["None"];
    return;
  }
  if (errors.causes.length > 0) return;
  const held = listOf(at(old, "spec", "clusterIPs")).map(String);
  const wanted = listOf(spec["clusterIPs"]).map(String);
  const families = listOf(spec["ipFamilies"]);
  const ips: string[] = [];
  for (const [i, family] of families.entries()) {
    const ip = wanted[i];
    const refusal = ip === undefined || held.includes(ip) ? undefined : context.serviceIps.refusal(ip);
    if (refusal !== undefined) errors.invalid(`spec.clusterIPs[${i}]`, wanted, refusal);
    const chosen = ip ?? context.serviceIps.allocate(familyNumber(family), ips);
    if (chosen === undefined)
      errors.invalid("spec.clusterIPs", null, `failed to allocate: the ${family} range is full`);
    else ips.push(chosen);
  }
  spec["clusterIPs"] = ips;
  spec["clusterIP"] = ips[0];
}

function allocateNodePorts(
  spec: Fields,
  old: KubeObject | undefined,
  context: WriteContext,
  errors: FieldErrors,
): void {
  const held = old === undefined ? new Set<number>() : nodePortsOf(old);
  const taken = new Set<number>();
  const claim = (wanted: unknown, field: string): number | undefined => {
    const port = wanted
      ? checkNodePort(Number(wanted), held, field, context, errors)
      : context.nodePorts.allocate(taken);
    if (port === undefined && !wanted) errors.invalid(field, null, "failed to allocate a nodePort: the range is full");
    if (port !== undefined) taken.add(port);
    return port;
  };
  const byNumber = new Map<unknown, unknown>();
  for (const [i, port] of listOf(spec["ports"]).entries()) {
    if (!isFields(port) || (!hasNodePorts(spec) && !port["nodePort"])) continue;
    // TCP and UDP of one port number share a node port, as DNS wants it.
    const shared = port["nodePort"] ? undefined : byNumber.get(port["port"]);
    const chosen = shared ?? claim(port["nodePort"], `spec.ports[${i}].nodePort`);
    if (chosen !== undefined) port["nodePort"] = chosen;
    byNumber.set(port["port"], chosen);
  }
  if (needsHealthCheckPort(spec))
    spec["healthCheckNodePort"] = claim(spec["healthCheckNodePort"], "spec.healthCheckNodePort");
}

function checkNodePort(
  port: number,
  held: ReadonlySet<number>,
  field: string,
  context: WriteContext,
  errors: FieldErrors,
): number | undefined {
  const { first, last } = NODE_PORT_RANGE;
  if (port < first || port > last) {
    errors.invalid(
      field,
      port,
      `provided port is not in the valid range. The range of valid ports is ${first}-${last}`,
    );
    return undefined;
  }
  if (!held.has(port) && !context.nodePorts.isFree(port)) {
    errors.invalid(field, port, "provided port is already allocated");
    return undefined;
  }
  return port;
}

/** True when both Services have the same first address, or one has none. */
export function keepsClusterIp(service: KubeObject, old: KubeObject): boolean {
  const now = listOf(at(service, "spec", "clusterIPs"))[0];
  const before = listOf(at(old, "spec", "clusterIPs"))[0];
  return now === undefined || before === undefined || equal(now, before);
}
