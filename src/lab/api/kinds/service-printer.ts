/**
 * Services as `kubectl get services` shows them.
 */
import { at, fieldsOf, type KubeObject, listOf, textOf } from "../object/object.ts";
import { age, columns, type Printer } from "../table/printer.ts";

export const SERVICE_PRINTER: Printer = {
  columns: columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"),
  cells: (service, now) => [
    service.metadata.name,
    textOf(at(service, "spec", "type")),
    textOf(at(service, "spec", "clusterIP")) || "<none>",
    externalIp(service),
    portList(service),
    age(service.metadata.creationTimestamp, now),
    pairs(at(service, "spec", "selector")),
  ],
};

function externalIp(service: KubeObject): string {
  const external = listOf(at(service, "spec", "externalIPs")).map(String);
  const type = at(service, "spec", "type");
  if (type === "ExternalName") return textOf(at(service, "spec", "externalName"));
  if (type === "LoadBalancer") {
    const ingress = listOf(at(service, "status", "loadBalancer", "ingress"));
    const ips = ingress.map((entry) => textOf(at(entry, "ip")) || textOf(at(entry, "hostname")));
    return [...ips, ...external].join(",") || "<pending>";
  }
  return external.join(",") || "<none>";
}

function portList(service: KubeObject): string {
  const ports = listOf(at(service, "spec", "ports")).map((port) => {
    const nodePort = at(port, "nodePort");
    return `${at(port, "port")}${nodePort ? `:${nodePort}` : ""}/${at(port, "protocol")}`;
  });
  return ports.join(",") || "<none>";
}

/** A map as kubectl prints it: "a=1,b=2", sorted. */
export function pairs(map: unknown): string {
  const entries = Object.entries(fieldsOf(map)).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([key, value]) => `${key}=${value}`).join(",") || "<none>";
}
