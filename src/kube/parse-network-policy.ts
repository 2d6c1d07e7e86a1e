/**
 * networking.k8s.io/v1 NetworkPolicy -> {@link ClusterPolicy}. What cannot be understood is reported and admits nothing:
 * a peer, a port or a rule without it would admit more than was meant.
 */
import type { ClusterPolicy, PolicyPeer, PolicyPort, PolicyRule } from "../model/policy.ts";
import { type Prefix, prefixAddress, prefixContains, prefixesOverlap, prefixLength } from "../model/prefix.ts";
import { type Requirement, type Selector, sortedSelector } from "../model/selector.ts";
import { asObject, asString, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { listItems, metadataName, prefixField, stringField, stringMap } from "./parse-fields.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
const OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"] as const;

export function parseNetworkPolicy(object: JsonObject, report: ReportField): ClusterPolicy {
  const metadata = asObject(object["metadata"]);
  const spec = asObject(object["spec"]) ?? {};
  const selector = parseSelector(spec["podSelector"] ?? {}, "spec.podSelector", report);
  const types = policyTypes(spec, report);
  const identity = {
    namespace: stringField(metadata?.["namespace"], "metadata.namespace", report),
    name: metadataName(object),
    uid: stringField(metadata?.["uid"], "metadata.uid", report),
  };
  // Whom it means is not known: it may be anybody of the namespace.
  if (selector === undefined) return { ...identity, pods: [], ingress: [], egress: [] };
  return {
    ...identity,
    pods: selector,
    ...(types.has("Ingress") ? { ingress: rules(spec["ingress"], "ingress", "from", report) } : {}),
    ...(types.has("Egress") ? { egress: rules(spec["egress"], "egress", "to", report) } : {}),
  };
}

/** Without policyTypes a policy is about ingress, and about egress when it has a section of that name. */
function policyTypes(spec: JsonObject, report: ReportField): Set<string> {
  const listed = closedList(spec["policyTypes"], "spec.policyTypes", report);
  if (listed === undefined) return new Set(["Ingress", "Egress"]);
  if (listed.length === 0) return new Set(isAbsent(spec["egress"]) ? ["Ingress"] : ["Ingress", "Egress"]);
  const types = new Set<string>();
  for (const { item, path } of listed) {
    if (item === "Ingress" || item === "Egress") types.add(item);
    else {
      report(path, `${JSON.stringify(item)} is neither Ingress nor Egress: both directions are closed`);
      types.add("Ingress").add("Egress");
    }
  }
  return types;
}

function rules(value: unknown, section: string, peers: string, report: ReportField): PolicyRule[] {
  return (listItems(value, `spec.${section}`, report) ?? []).map(({ item, path }) => {
    const rule = asObject(item);
    if (rule === undefined) {
      report(path, "it is no rule: it admits nothing");
      return { peers: [], ports: [] };
    }
    const from = closedList(rule[peers], `${path}.${peers}`, report);
    const ports = closedList(rule["ports"], `${path}.ports`, report);
    return {
      // An empty list means the same as none: everybody, every port.
      ...(from?.length === 0 ? {} : { peers: (from ?? []).flatMap((each) => parsePeer(each, report) ?? []) }),
      ...(ports?.length === 0 ? {} : { ports: (ports ?? []).flatMap((each) => parsePort(each, report) ?? []) }),
    };
  });
}

interface ListItem {
  readonly item: unknown;
  readonly path: string;
}

/** Empty when absent; undefined, and a report, when it is no list: then nobody knows what it was to hold. */
function closedList(value: unknown, path: string, report: ReportField): readonly ListItem[] | undefined {
  return isAbsent(value) ? [] : listItems(value, path, report);
}

/** Null is how some writers leave a field out. */
function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

function parsePeer({ item, path }: ListItem, report: ReportField): PolicyPeer | undefined {
  const { ipBlock, podSelector, namespaceSelector } = asObject(item) ?? {};
  const hasSelector = !isAbsent(podSelector) || !isAbsent(namespaceSelector);
  if (!isAbsent(ipBlock)) {
    if (!hasSelector) return parseBlock(ipBlock, path, report);
    report(path, "an ipBlock stands beside a selector: the peer admits nobody");
    return undefined;
  }
  if (!hasSelector) {
    report(path, "it names no peer: it admits nobody");
    return undefined;
  }
  const pods = parseSelector(podSelector ?? {}, `${path}.podSelector`, report);
  if (isAbsent(namespaceSelector)) return pods && { kind: "pods", pods };
  const namespaces = parseSelector(namespaceSelector, `${path}.namespaceSelector`, report);
  return pods && namespaces && { kind: "pods", namespaces, pods };
}

function parseBlock(value: unknown, path: string, report: ReportField): PolicyPeer | undefined {
  const block = asObject(value) ?? {};
  const prefix = prefixField(block["cidr"], `${path}.ipBlock.cidr`, report);
  if (prefix === undefined) return undefined;
  const except: Prefix[] = [];
  const holes = closedList(block["except"], `${path}.ipBlock.except`, report);
  if (holes === undefined) return undefined;
  for (const { item, path: at } of holes) {
    const hole = prefixField(item, at, report);
    // A hole that is not known could be anywhere.
    if (hole === undefined) return undefined;
    if (isInside(hole, prefix)) except.push(hole);
    else if (prefixesOverlap(hole, prefix)) {
      report(at, `${hole} holds all of ${prefix}: the peer admits nobody`);
      return undefined;
    } else report(at, `${hole} does not lie inside ${prefix}: it excepts nothing`);
  }
  return { kind: "block", prefix, except: except.sort() };
}

function isInside(inner: Prefix, outer: Prefix): boolean {
  const sameFamily = inner.includes(":") === outer.includes(":");
  return sameFamily && prefixLength(inner) >= prefixLength(outer) && prefixContains(outer, prefixAddress(inner));
}

function parsePort({ item, path }: ListItem, report: ReportField): PolicyPort | undefined {
  const fields = asObject(item);
  if (fields === undefined) {
    report(path, "it is no port: it admits nothing");
    return undefined;
  }
  const protocol = PROTOCOLS.find((name) => name === (fields["protocol"] ?? "TCP"));
  if (protocol === undefined) {
    report(`${path}.protocol`, `${JSON.stringify(fields["protocol"])} is none of TCP, UDP, SCTP: it admits nothing`);
    return undefined;
  }
  const port = fields["port"] ?? undefined;
  const endPort = fields["endPort"] ?? undefined;
  if (port === undefined && endPort === undefined) return { protocol };
  if (typeof port === "string" && endPort === undefined && port !== "") return { protocol, port };
  if (!isPort(port)) {
    report(`${path}.port`, `${JSON.stringify(port)} is no port: it admits nothing`);
    return undefined;
  }
  if (endPort === undefined) return { protocol, port };
  if (isPort(endPort) && endPort >= port) return { protocol, port, endPort };
  report(`${path}.endPort`, `${JSON.stringify(endPort)} is no port from ${port} on: it admits nothing`);
  return undefined;
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

/** Undefined when it cannot be understood. */
export function parseSelector(value: unknown, path: string, report: ReportField): Selector | undefined {
  const selector = asObject(value);
  if (selector === undefined) {
    report(path, "it is no selector: it matches nothing");
    return undefined;
  }
  const labels = labelRequirements(selector["matchLabels"], `${path}.matchLabels`, report);
  const expressions = closedList(selector["matchExpressions"], `${path}.matchExpressions`, report);
  if (labels === undefined || expressions === undefined) return undefined;
  const requirements = [...labels];
  for (const { item, path: at } of expressions) {
    const requirement = parseRequirement(asObject(item) ?? {}, at, report);
    if (requirement === undefined) return undefined;
    requirements.push(requirement);
  }
  return sortedSelector(requirements);
}

/** A label that is left out would make the selector match more. */
function labelRequirements(value: unknown, path: string, report: ReportField): Requirement[] | undefined {
  let understood = true;
  const labels = stringMap(value, path, (field, why) => {
    understood = false;
    report(field, `${why}: the selector matches nothing`);
  });
  if (!understood) return undefined;
  return Object.entries(labels).map(([key, label]) => ({ key, operator: "In", values: [label] }));
}

function parseRequirement(fields: JsonObject, path: string, report: ReportField): Requirement | undefined {
  const key = asString(fields["key"]);
  const operator = OPERATORS.find((name) => name === fields["operator"]);
  const values = closedList(fields["values"], `${path}.values`, report)?.map(({ item }) => item);
  const takesValues = operator === "In" || operator === "NotIn";
  const areText = values?.every((value) => typeof value === "string") === true;
  if (!key || operator === undefined || !areText || takesValues !== values.length > 0) {
    report(path, `${JSON.stringify(fields)} cannot be understood: the selector matches nothing`);
    return undefined;
  }
  return { key, operator, values: values as string[] };
}
