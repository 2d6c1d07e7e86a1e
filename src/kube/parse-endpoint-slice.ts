/**
 * discovery.k8s.io/v1 EndpointSlice -> {@link EndpointSlice}. An agent keeps every slice of the cluster, so endpoints
 * are small: no field that is absent, no string or list twice, and few shapes of object.
 */
import { type Family, ipFamily } from "../model/ip.ts";
import type { EndpointSlice, SliceEndpoint, SlicePort } from "../model/service.ts";
import { asArray, asObject, asString, type JsonObject, typeName } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { listItems, metadataName, numberField, stringField, unicastIpField, wordField } from "./parse-fields.ts";
import type { SharedValues } from "./shared-values.ts";

const SERVICE_LABEL = "kubernetes.io/service-name";
const TRIGGER_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time";
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
const PORTS = { low: 1, high: 65_535 } as const;
const NONE: readonly never[] = [];

/**
 * Undefined for slices that no proxy uses: those of no Service, and those of names instead of addresses (FQDN).
 * @throws SyntaxError when it has no name or an unknown type of addresses
 */
export function parseEndpointSlice(
  object: JsonObject,
  report: ReportField,
  shared: SharedValues,
): EndpointSlice | undefined {
  const metadata = asObject(object["metadata"]);
  const service = asString(asObject(metadata?.["labels"])?.[SERVICE_LABEL]);
  const family = familyOf(object["addressType"]);
  if (!service || family === undefined) return undefined;
  const triggeredAt = asString(asObject(metadata?.["annotations"])?.[TRIGGER_ANNOTATION]);
  const slice = {
    namespace: shared.string(stringField(metadata?.["namespace"], "metadata.namespace", report)),
    name: metadataName(object),
    service,
    family,
    ports: ports(object["ports"], report),
    endpoints: endpoints(object["endpoints"], family, report, shared),
  };
  return triggeredAt === undefined ? slice : { ...slice, triggeredAt };
}

function familyOf(addressType: unknown): Family | undefined {
  if (addressType === "IPv4") return 4;
  if (addressType === "IPv6") return 6;
  if (addressType === "FQDN") return undefined;
  throw new SyntaxError(`its addressType is ${JSON.stringify(addressType)?.slice(0, 40)}: no IPv4, IPv6 or FQDN`);
}

function ports(value: unknown, report: ReportField): readonly SlicePort[] {
  const ports: SlicePort[] = [];
  for (const { item, path } of listItems(value, "ports", report) ?? []) {
    const fields = asObject(item) ?? {};
    const protocol = wordField(fields["protocol"], PROTOCOLS, `${path}.protocol`, report);
    const port = slicePort(fields["port"], `${path}.port`, report);
    if (protocol === undefined || port === undefined) continue;
    ports.push({ name: stringField(fields["name"], `${path}.name`, report), protocol, port });
  }
  return ports.length === 0 ? NONE : ports.slice();
}

/** To the API no port means all of them, which a Service's port cannot be sent to; kube-proxy leaves it out too. */
function slicePort(value: unknown, field: string, report: ReportField): number | undefined {
  if (value === undefined || value === null || value === 0) {
    report(field, value === 0 ? "0 is no port" : "it is missing, and all ports at once cannot be an endpoint");
    return undefined;
  }
  return numberField(value, PORTS, field, report);
}

function endpoints(
  value: unknown,
  family: Family,
  report: ReportField,
  shared: SharedValues,
): readonly SliceEndpoint[] {
  const endpoints: SliceEndpoint[] = [];
  for (const { item, path } of listItems(value, "endpoints", report) ?? []) {
    const endpoint = readEndpoint(item, path, family, report, shared);
    if (endpoint !== undefined) endpoints.push(endpoint);
  }
  // A copy has room for what is in it; a list that grew has room for sixteen more.
  return endpoints.length === 0 ? NONE : endpoints.slice();
}

function readEndpoint(
  item: unknown,
  path: string,
  family: Family,
  report: ReportField,
  shared: SharedValues,
): SliceEndpoint | undefined {
  const fields = asObject(item) ?? {};
  const addressPath = `${path}.addresses[0]`;
  const address = unicastIpField(asArray(fields["addresses"])?.[0], addressPath, report);
  if (address === undefined) return undefined;
  if (ipFamily(address) !== family) {
    report(addressPath, `"${address}" is no IPv${family} address, which the slice is of`);
    return undefined;
  }
  const conditions = asObject(fields["conditions"]);
  const ready = condition(conditions, "ready", true, path, report);
  const serving = condition(conditions, "serving", ready, path, report);
  const terminating = condition(conditions, "terminating", false, path, report);
  const nodeName = shared.string(stringField(fields["nodeName"], `${path}.nodeName`, report));
  const hints = readHints(asObject(fields["hints"]), `${path}.hints`, report, shared);
  return makeEndpoint({ address, ready, serving, terminating }, nodeName, hints);
}

/**
 * One literal for each shape that is common: an object keeps within itself the fields that it is born with, and a
 * hundred thousand that were spread together take three megabytes more.
 */
function makeEndpoint(
  { address, ready, serving, terminating }: SliceEndpoint,
  nodeName: string,
  { zoneHints, nodeHints }: Hints,
): SliceEndpoint {
  if (nodeName !== "" && zoneHints === undefined && nodeHints === undefined)
    return { address, ready, serving, terminating, nodeName };
  if (nodeName !== "" && zoneHints !== undefined && nodeHints === undefined)
    return { address, ready, serving, terminating, nodeName, zoneHints };
  return {
    ...{ address, ready, serving, terminating },
    ...(nodeName !== "" && { nodeName }),
    ...(zoneHints !== undefined && { zoneHints }),
    ...(nodeHints !== undefined && { nodeHints }),
  };
}

/** Null is what absent is: unknown. */
function condition(
  conditions: JsonObject | undefined,
  name: string,
  unknown: boolean,
  path: string,
  report: ReportField,
): boolean {
  const value = conditions?.[name];
  if (value === undefined || value === null) return unknown;
  if (typeof value === "boolean") return value;
  report(`${path}.conditions.${name}`, `expected true or false, found ${typeName(value)}`);
  return unknown;
}

interface Hints {
  readonly zoneHints?: readonly string[];
  readonly nodeHints?: readonly string[];
}

const NO_HINTS: Hints = {};

/** An empty list of hints is none, as for kube-proxy. */
function readHints(hints: JsonObject | undefined, path: string, report: ReportField, shared: SharedValues): Hints {
  if (hints === undefined) return NO_HINTS;
  const names = (list: "forZones" | "forNodes"): readonly string[] | undefined => {
    const items = listItems(hints[list], `${path}.${list}`, report) ?? [];
    const found = items.flatMap(
      ({ item, path: at }) => stringField(asObject(item)?.["name"], `${at}.name`, report) || [],
    );
    return found.length === 0 ? undefined : shared.list(found);
  };
  return { zoneHints: names("forZones"), nodeHints: names("forNodes") };
}
