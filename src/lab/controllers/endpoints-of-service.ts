/**
 * Where a Service's traffic can go: its Pods as endpoints, grouped by the ports they answer on and by address family.
 * Pure; the rules are those of k8s.io/endpointslice (reconciler.go, utils.go).
 */
import { ipFamily, tryParseIp } from "../../model/ip.ts";
import { at, type Fields, fieldsOf, type KubeObject, listOf, textOf } from "../api/object/object.ts";
import { referenceTo } from "./controller.ts";

export type AddressType = "IPv4" | "IPv6";

export interface EndpointPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly appProtocol?: string;
}

export interface Endpoint extends Fields {
  readonly addresses: readonly string[];
  readonly conditions: { readonly ready: boolean; readonly serving: boolean; readonly terminating: boolean };
  readonly targetRef: { readonly uid: string | undefined };
}

/** Endpoints that share an address family and all their ports: they can share slices. */
export interface EndpointGroup {
  readonly addressType: AddressType;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

export function endpointGroups(
  service: KubeObject,
  pods: readonly KubeObject[],
  zoneOf: (node: string) => string | undefined,
): EndpointGroup[] {
  const groups: EndpointGroup[] = [];
  for (const addressType of addressTypes(service)) {
    const byPorts = new Map<string, { ports: EndpointPort[]; endpoints: Endpoint[] }>();
    for (const pod of pods) {
      const addresses = podAddresses(pod, addressType);
      if (addresses.length === 0 || isOver(pod)) continue;
      const ports = endpointPorts(service, pod);
      const key = JSON.stringify(ports);
      const group = byPorts.get(key) ?? { ports, endpoints: [] };
      group.endpoints.push(endpointOf(service, pod, addresses, zoneOf));
      byPorts.set(key, group);
    }
    for (const group of byPorts.values()) groups.push({ addressType, ...group });
  }
  return groups;
}

export function addressTypes(service: KubeObject): AddressType[] {
  return listOf(at(service, "spec", "ipFamilies")).map((family) => (family === "IPv6" ? "IPv6" : "IPv4"));
}

/** A Pod whose containers are through will not answer again. */
export function isOver(pod: KubeObject): boolean {
  const phase = at(pod, "status", "phase");
  return phase === "Succeeded" || phase === "Failed";
}

export function isReady(pod: KubeObject): boolean {
  return listOf(at(pod, "status", "conditions")).some(
    (condition) => at(condition, "type") === "Ready" && at(condition, "status") === "True",
  );
}

/** Stored Pods never change, so their addresses are parsed once, not at every look at every Service. */
const addressesOfPod = new WeakMap<KubeObject, readonly string[]>();

function podAddresses(pod: KubeObject, addressType: AddressType): string[] {
  let all = addressesOfPod.get(pod);
  if (all === undefined) {
    const listed = listOf(at(pod, "status", "podIPs")).map((entry) => textOf(at(entry, "ip")));
    const texts = listed.length > 0 ? listed : [textOf(at(pod, "status", "podIP"))];
    // Most Pods of a cluster that starts have no address yet, and a parse error is dear.
    all = texts.flatMap((text) => (text === "" ? [] : [tryParseIp(text)])).filter((ip) => ip !== undefined);
    addressesOfPod.set(pod, all);
  }
  return all.filter((ip) => `IPv${ipFamily(ip)}` === addressType);
}

function endpointOf(
  service: KubeObject,
  pod: KubeObject,
  addresses: readonly string[],
  zoneOf: (node: string) => string | undefined,
): Endpoint {
  const serving = isReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = at(service, "spec", "publishNotReadyAddresses") === true || (serving && !terminating);
  const nodeName = textOf(at(pod, "spec", "nodeName"));
  const zone = zoneOf(nodeName);
  const hostname = podHostname(service, pod);
  const hints = ready ? trafficHints(at(service, "spec", "trafficDistribution"), zone, nodeName) : undefined;
  return {
    addresses,
    conditions: { ready, serving, terminating },
    ...(hints !== undefined && { hints }),
    ...(hostname !== undefined && { hostname }),
    ...(nodeName !== "" && { nodeName }),
    ...(zone !== undefined && { zone }),
    targetRef: { ...referenceTo(pod), uid: pod.metadata.uid },
  };
}

/**
 * For whom an endpoint is, where its Service prefers near ones: its own zone, and before that its own node. Ready
 * endpoints alone have hints (k8s.io/endpointslice/trafficdist; KEP-4444, KEP-3015).
 */
function trafficHints(distribution: unknown, zone: string | undefined, nodeName: string): Fields | undefined {
  if (!["PreferClose", "PreferSameZone", "PreferSameNode"].includes(textOf(distribution))) return undefined;
  const hints = {
    ...(zone !== undefined && { forZones: [{ name: zone }] }),
    ...(distribution === "PreferSameNode" && nodeName !== "" && { forNodes: [{ name: nodeName }] }),
  };
  return Object.keys(hints).length === 0 ? undefined : hints;
}

/** Pods that ask for a name of their own under a headless Service get one in DNS. */
export function podHostname(service: KubeObject, pod: KubeObject): string | undefined {
  const hostname = textOf(at(pod, "spec", "hostname"));
  return hostname !== "" && at(pod, "spec", "subdomain") === service.metadata.name ? hostname : undefined;
}

/** The Service's ports as this Pod answers them; a named port the Pod does not have is left out. */
export function endpointPorts(service: KubeObject, pod: KubeObject): EndpointPort[] {
  return listOf(at(service, "spec", "ports")).flatMap((entry) => {
    const { name, protocol, targetPort, appProtocol } = fieldsOf(entry);
    const port = typeof targetPort === "number" ? targetPort : namedPort(pod, textOf(targetPort), textOf(protocol));
    if (port === undefined) return [];
    const found: EndpointPort = { name: textOf(name), protocol: textOf(protocol) || "TCP", port };
    return [typeof appProtocol === "string" ? { ...found, appProtocol } : found];
  });
}

/** Restartable init containers ("sidecars", KEP-753) serve ports too. */
function namedPort(pod: KubeObject, name: string, protocol: string): number | undefined {
  const sidecars = listOf(at(pod, "spec", "initContainers")).filter(
    (container) => at(container, "restartPolicy") === "Always",
  );
  for (const container of [...listOf(at(pod, "spec", "containers")), ...sidecars]) {
    for (const port of listOf(at(container, "ports"))) {
      if (at(port, "name") === name && at(port, "protocol") === protocol) return Number(at(port, "containerPort"));
    }
  }
  return undefined;
}
