/**
 * core/v1 Service -> {@link ClusterService}: what a proxy must know. Where fields mean something only together with
 * others, the meaning is that of kube-proxy (pkg/proxy/serviceport.go, pkg/api/v1/service/util.go).
 */
import type { Ip } from "../model/ip.ts";
import type { Prefix } from "../model/prefix.ts";
import { type ClusterService, PROGRAMMED, type ServicePort, type TrafficPolicy } from "../model/service.ts";
import { asObject, asString, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import {
  listItems,
  metadataName,
  numberField,
  prefixField,
  stringField,
  stringMap,
  unicastIpField,
  wordField,
} from "./parse-fields.ts";

const HEADLESS_LABEL = "service.kubernetes.io/headless";
const PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name";
const SOURCE_RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges";

/** What the API server fills in (core/v1 DefaultClientIPServiceAffinitySeconds): three hours. */
const DEFAULT_AFFINITY_SECONDS = 10_800;
const AFFINITY_SECONDS = { low: 1, high: 86_400 } as const;
const PORTS = { low: 1, high: 65_535 } as const;
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
const TYPES = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] as const;
const POLICIES = ["Cluster", "Local"] as const;

const NONE: readonly never[] = [];

export function parseService(object: JsonObject, report: ReportField): ClusterService {
  const metadata = asObject(object["metadata"]);
  const spec = asObject(object["spec"]) ?? {};
  const type = wordField(spec["type"], TYPES, "spec.type", report) ?? "ClusterIP";
  const externalIps = addresses(listItems(spec["externalIPs"], "spec.externalIPs", report), report);
  const externalPolicy = reachedFromOutside(type, externalIps)
    ? policy(spec, "externalTrafficPolicy", report)
    : "Cluster";
  const optional = {
    createdAt: asString(metadata?.["creationTimestamp"]),
    sourceRanges: sourceRanges(spec, metadata, report),
    affinitySeconds: affinitySeconds(spec, report),
    healthCheckNodePort:
      type === "LoadBalancer" && externalPolicy === "Local"
        ? numberField(spec["healthCheckNodePort"], PORTS, "spec.healthCheckNodePort", report)
        : undefined,
    leftTo: leftTo(metadata, report),
    programmed: programmed(asObject(object["status"])),
  };
  return {
    namespace: stringField(metadata?.["namespace"], "metadata.namespace", report),
    name: metadataName(object),
    uid: stringField(metadata?.["uid"], "metadata.uid", report),
    type,
    clusterIps: clusterIps(spec, report),
    ports: ports(spec["ports"], report),
    externalIps,
    loadBalancerIps: loadBalancerIps(asObject(object["status"]), report),
    externalPolicy,
    internalPolicy: policy(spec, "internalTrafficPolicy", report),
    ...present(optional),
  };
}

function programmed(status: JsonObject | undefined): ClusterService["programmed"] {
  const conditions = Array.isArray(status?.["conditions"]) ? status["conditions"] : [];
  const ours = conditions.map((each) => asObject(each)).find((condition) => condition?.["type"] === PROGRAMMED);
  if (ours === undefined) return undefined;
  return { status: asString(ours["status"]) ?? "", message: asString(ours["message"]) ?? "" };
}

/** The fields that are there: absent is absent, not undefined. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** externalTrafficPolicy speaks of these only (ExternallyAccessible in pkg/api/v1/service/util.go). */
function reachedFromOutside(type: ClusterService["type"], externalIps: readonly Ip[]): boolean {
  return type === "NodePort" || type === "LoadBalancer" || (type === "ClusterIP" && externalIps.length > 0);
}

function policy(spec: JsonObject, name: string, report: ReportField): TrafficPolicy {
  return wordField(spec[name], POLICIES, `spec.${name}`, report) ?? "Cluster";
}

/** clusterIP is the first of clusterIPs to every server since 1.20; alone it speaks only where that is absent. */
function clusterIps(spec: JsonObject, report: ReportField): readonly Ip[] {
  const listed = listItems(spec["clusterIPs"], "spec.clusterIPs", report);
  const fields = listed ?? [{ item: spec["clusterIP"], path: "spec.clusterIP" }];
  return addresses(
    fields.filter(({ item }) => item !== undefined && item !== null && item !== "" && item !== "None"),
    report,
  );
}

/** Canonical, each once, in their order. */
function addresses(
  fields: readonly { readonly item: unknown; readonly path: string }[] | undefined,
  report: ReportField,
): readonly Ip[] {
  if (fields === undefined || fields.length === 0) return NONE;
  return [...new Set(fields.flatMap(({ item, path }) => unicastIpField(item, path, report) ?? []))];
}

/** An ingress of ipMode Proxy wants its traffic to pass the balancer, from inside the cluster too (KEP-1860). */
function loadBalancerIps(status: JsonObject | undefined, report: ReportField): readonly Ip[] {
  const ingress = listItems(asObject(status?.["loadBalancer"])?.["ingress"], "status.loadBalancer.ingress", report);
  const fields = (ingress ?? []).flatMap(({ item, path }) => {
    const { ip, ipMode } = asObject(item) ?? {};
    // A balancer that has only a name has no ip.
    return ip === undefined || ip === "" || ipMode === "Proxy" ? [] : [{ item: ip, path: `${path}.ip` }];
  });
  return addresses(fields, report);
}

function ports(value: unknown, report: ReportField): readonly ServicePort[] {
  const ports: ServicePort[] = [];
  for (const { item, path } of listItems(value, "spec.ports", report) ?? []) {
    const port = servicePort(asObject(item) ?? {}, path, report);
    if (port === undefined) continue;
    if (ports.some((other) => other.protocol === port.protocol && other.port === port.port))
      report(path, `${port.port}/${port.protocol} is there already`);
    else ports.push(port);
  }
  // A copy has room for what is in it; a list that grew has room for sixteen more.
  return ports.length === 0 ? NONE : ports.slice();
}

function servicePort(item: JsonObject, path: string, report: ReportField): ServicePort | undefined {
  const protocol = wordField(item["protocol"], PROTOCOLS, `${path}.protocol`, report);
  const port = requiredPort(item["port"], `${path}.port`, report);
  const nodePort = numberField(item["nodePort"], PORTS, `${path}.nodePort`, report);
  if (protocol === undefined || port === undefined) return undefined;
  const name = stringField(item["name"], `${path}.name`, report);
  return nodePort === undefined ? { name, protocol, port } : { name, protocol, port, nodePort };
}

function requiredPort(value: unknown, field: string, report: ReportField): number | undefined {
  if (value === undefined || value === null || value === 0) {
    report(field, value === 0 ? "0 is no port" : "it is missing");
    return undefined;
  }
  return numberField(value, PORTS, field, report);
}

/**
 * Undefined: anybody. The annotation speaks only where the field is absent or empty, as it did before the field came
 * (k8s.io/cloud-provider/service/helpers). Ranges that cannot be read admit nobody.
 */
function sourceRanges(
  spec: JsonObject,
  metadata: JsonObject | undefined,
  report: ReportField,
): readonly Prefix[] | undefined {
  const listed = listItems(spec["loadBalancerSourceRanges"], "spec.loadBalancerSourceRanges", report) ?? [];
  const fields = listed.length > 0 ? listed : annotatedRanges(metadata);
  if (fields.length === 0) return undefined;
  const trimmed = (item: unknown) => (typeof item === "string" ? item.trim() : item);
  return [...new Set(fields.flatMap(({ item, path }) => prefixField(trimmed(item), path, report) ?? []))];
}

function annotatedRanges(metadata: JsonObject | undefined): readonly { item: unknown; path: string }[] {
  const text = asString(asObject(metadata?.["annotations"])?.[SOURCE_RANGES_ANNOTATION])?.trim() ?? "";
  const path = `metadata.annotations["${SOURCE_RANGES_ANNOTATION}"]`;
  return text === "" ? [] : text.split(",").map((item) => ({ item, path }));
}

function affinitySeconds(spec: JsonObject, report: ReportField): number | undefined {
  if (wordField(spec["sessionAffinity"], ["None", "ClientIP"], "spec.sessionAffinity", report) !== "ClientIP")
    return undefined;
  const clientIp = asObject(asObject(spec["sessionAffinityConfig"])?.["clientIP"]);
  const field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
  return numberField(clientIp?.["timeoutSeconds"], AFFINITY_SECONDS, field, report) ?? DEFAULT_AFFINITY_SECONDS;
}

/** kube-proxy does not even watch what has one of these labels, whatever its value. */
function leftTo(metadata: JsonObject | undefined, report: ReportField): ClusterService["leftTo"] {
  const labels = stringMap(metadata?.["labels"], "metadata.labels", report);
  if (HEADLESS_LABEL in labels) return "headless";
  const proxy = labels[PROXY_NAME_LABEL];
  return proxy === undefined ? undefined : { proxy };
}
