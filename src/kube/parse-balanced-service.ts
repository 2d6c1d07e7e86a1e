/** core/v1 Service -> {@link BalancedService}: what the allocator of LoadBalancer addresses must know of it. */
import { type Family, type Ip, ipFamily, tryParseIp } from "../model/ip.ts";
import {
  ALLOW_SHARED_IP,
  type BalancedService,
  LOAD_BALANCER_CLASS,
  LOAD_BALANCER_IPS,
  LOAD_BALANCER_POOL,
} from "../model/load-balancer.ts";
import { asArray, asObject, asString, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { metadataName, stringField, stringMap, unicastIpField } from "./parse-fields.ts";
import { parseService } from "./parse-service.ts";

/** Undefined for a Service that has no balancer and never had: most are. */
export function parseBalancedService(object: JsonObject, report: ReportField): BalancedService | undefined {
  const spec = asObject(object["spec"]) ?? {};
  const ingress = ingressOf(object);
  const isBalanced = spec["type"] === "LoadBalancer";
  if (!isBalanced && ingress.length === 0) return undefined;
  const metadata = asObject(object["metadata"]);
  const annotations = stringMap(metadata?.["annotations"], "metadata.annotations", report);
  const problems: string[] = [];
  const tell: ReportField = (field, why) => {
    problems.push(`${field}: ${why}`);
    report(field, why);
  };
  // Who proxies Services tells what else is wrong with them.
  const { ports, externalPolicy, clusterIps, createdAt } = parseService(object, () => undefined);
  const className = spec["loadBalancerClass"];
  const isNamed = ingress.some((each) => each["ip"] === undefined || each["ip"] === "");
  return {
    namespace: stringField(metadata?.["namespace"], "metadata.namespace", report),
    name: metadataName(object),
    uid: stringField(metadata?.["uid"], "metadata.uid", report),
    resourceVersion: stringField(metadata?.["resourceVersion"], "metadata.resourceVersion", report),
    ...(createdAt === undefined ? {} : { createdAt }),
    labels: stringMap(metadata?.["labels"], "metadata.labels", report),
    isOurs: isBalanced && !isNamed && (isUnset(className) || className === LOAD_BALANCER_CLASS),
    families: familiesOf(spec, clusterIps),
    needsAllFamilies: spec["ipFamilyPolicy"] === "RequireDualStack",
    ports: ports.map(({ protocol, port }) => ({ protocol, port })),
    selector: selectorOf(spec),
    externalPolicy,
    wantedIps: wantedIps(spec, annotations, tell),
    wantedPool: (annotations[LOAD_BALANCER_POOL] ?? "").trim(),
    sharingKey: (annotations[ALLOW_SHARED_IP] ?? "").trim(),
    held: [...new Set(ingress.flatMap(({ ip }) => (typeof ip === "string" ? (tryParseIp(ip) ?? []) : [])))],
    problems,
  };
}

function isUnset(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

function ingressOf(object: JsonObject): readonly JsonObject[] {
  const balancer = asObject(asObject(object["status"])?.["loadBalancer"]);
  return (asArray(balancer?.["ingress"]) ?? []).map((each) => asObject(each) ?? {});
}

/** The API server fills ipFamilies in; one that is older than they are tells by the cluster's addresses. */
function familiesOf(spec: JsonObject, clusterIps: readonly Ip[]): readonly Family[] {
  const named = (asArray(spec["ipFamilies"]) ?? []).flatMap((name): Family[] =>
    name === "IPv4" ? [4] : name === "IPv6" ? [6] : [],
  );
  const families = new Set(named.length > 0 ? named : clusterIps.map(ipFamily));
  return families.size > 0 ? [...families] : [4];
}

function selectorOf(spec: JsonObject): string {
  const labels = Object.entries(asObject(spec["selector"]) ?? {});
  return labels
    .map(([key, value]) => `${key}=${String(value)}`)
    .sort()
    .join(",");
}

/** The field (of old, one address) or the annotation (one of each family); both only where they say the same. */
function wantedIps(spec: JsonObject, annotations: Readonly<Record<string, string>>, tell: ReportField): readonly Ip[] {
  const field = asString(spec["loadBalancerIP"])?.trim() ?? "";
  const annotation = annotations[LOAD_BALANCER_IPS]?.trim() ?? "";
  const path = `metadata.annotations["${LOAD_BALANCER_IPS}"]`;
  const listed = annotation === "" ? [] : annotation.split(",").map((text) => text.trim());
  const fromList = listed.flatMap((text) => unicastIpField(text, path, tell) ?? []);
  const fromField = field === "" ? undefined : unicastIpField(field, "spec.loadBalancerIP", tell);
  const wanted = [...new Set([...fromList, ...(fromField === undefined ? [] : [fromField])])];
  if (listed.length > 0 && field !== "" && wanted.length > fromList.length) {
    tell("spec.loadBalancerIP", `${field} is not what ${path} says: give one of them`);
    return [];
  }
  const twice = wanted.find((ip, at) => wanted.findIndex((other) => ipFamily(other) === ipFamily(ip)) < at);
  if (twice === undefined) return wanted;
  tell(path, `it has two IPv${ipFamily(twice)} addresses: a Service has one of each family at most`);
  return [];
}
