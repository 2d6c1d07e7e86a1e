/**
 * What a rule of a ClusterNetworkPolicy matches: its peers and its protocols. Each function answers undefined, and reports,
 * when any of it is not understood: a rule is closed as a whole.
 */
import type { NodesPeer, TierPeer } from "../model/cluster-network-policy.ts";
import type { PolicyPeer, PolicyPort } from "../model/policy.ts";
import type { Selector } from "../model/selector.ts";
import type { ServiceProtocol } from "../model/service.ts";
import { asObject, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { listItems, prefixField } from "./parse-fields.ts";
import { isAbsent, type ListItem, parseSelector } from "./parse-selector.ts";

const PROTOCOLS: Readonly<Record<string, ServiceProtocol>> = { tcp: "TCP", udp: "UDP", sctp: "SCTP" };

/** The one field that an object of alternatives has. */
export function onlyField(
  value: unknown,
  path: string,
  report: ReportField,
): { readonly name: string; readonly value: unknown; readonly path: string } | undefined {
  const fields = Object.entries(asObject(value) ?? {}).filter(([, each]) => !isAbsent(each));
  const [only] = fields;
  if (fields.length !== 1 || only === undefined) {
    const names = fields.map(([name]) => name).join(", ");
    // A newer API may have fields that this cluster's CRD has cut off.
    report(path, names === "" ? "it has no field that is known" : `it has ${names}, and may have one only`);
    return undefined;
  }
  return { name: only[0], value: only[1], path: `${path}.${only[0]}` };
}

/** `from` or `to`. */
export function parsePeers(
  rule: JsonObject,
  direction: "ingress" | "egress",
  path: string,
  report: ReportField,
): readonly TierPeer[] | undefined {
  const field = `${path}.${direction === "ingress" ? "from" : "to"}`;
  const items = fullList(rule[direction === "ingress" ? "from" : "to"], field, "peer", report);
  return allOf(items, (item) => parsePeer(item, direction, report));
}

function parsePeer(
  { item, path }: ListItem,
  direction: "ingress" | "egress",
  report: ReportField,
): readonly TierPeer[] | undefined {
  const field = onlyField(item, path, report);
  if (field === undefined) return undefined;
  if (field.name === "namespaces") {
    const namespaces = parseSelector(field.value, field.path, report);
    return namespaces && [{ kind: "pods", namespaces, pods: [] }];
  }
  if (field.name === "pods") {
    const selection = parsePods(field.value, field.path, report);
    return selection && [{ kind: "pods", ...selection }];
  }
  if (direction === "egress" && field.name === "nodes") return parseNodes(field.value, field.path, report);
  if (direction === "egress" && field.name === "networks") return parseNetworks(field.value, field.path, report);
  const isKnown = direction === "egress" && field.name === "domainNames";
  report(field.path, isKnown ? "peers by domain name are not supported" : `${direction} has no such peer`);
  return undefined;
}

/** Without a namespaceSelector it is about all namespaces. */
export function parsePods(
  value: unknown,
  path: string,
  report: ReportField,
): { readonly namespaces: Selector; readonly pods: Selector } | undefined {
  const { namespaceSelector, podSelector } = asObject(value) ?? {};
  const namespaces = parseSelector(namespaceSelector ?? {}, `${path}.namespaceSelector`, report);
  const pods = parseSelector(podSelector, `${path}.podSelector`, report);
  return namespaces && pods && { namespaces, pods };
}

function parseNodes(value: unknown, path: string, report: ReportField): NodesPeer[] | undefined {
  const nodes = parseSelector(value, path, report);
  return nodes && [{ kind: "nodes", nodes }];
}

function parseNetworks(value: unknown, path: string, report: ReportField): readonly PolicyPeer[] | undefined {
  return allOf(fullList(value, path, "CIDR", report), ({ item, path: at }) => {
    const prefix = prefixField(item, at, report);
    return prefix === undefined ? undefined : [{ kind: "block", prefix, except: [] }];
  });
}

/** "all" where nothing is said of protocols. */
export function parseProtocols(
  value: unknown,
  path: string,
  report: ReportField,
): readonly PolicyPort[] | "all" | undefined {
  if (isAbsent(value)) return "all";
  return allOf(fullList(value, path, "protocol", report), (item) => parseProtocol(item, report));
}

function parseProtocol({ item, path }: ListItem, report: ReportField): PolicyPort[] | undefined {
  const field = onlyField(item, path, report);
  if (field === undefined) return undefined;
  if (field.name === "destinationNamedPort") {
    const name = field.value;
    // A name stands for a port of any protocol.
    if (typeof name === "string" && name !== "") {
      return Object.values(PROTOCOLS).map((protocol) => ({ protocol, port: name }));
    }
    report(field.path, `${JSON.stringify(name)} is no name of a port`);
    return undefined;
  }
  const protocol = Object.hasOwn(PROTOCOLS, field.name) ? PROTOCOLS[field.name] : undefined;
  if (protocol === undefined) {
    report(field.path, "it is none of tcp, udp, sctp, destinationNamedPort");
    return undefined;
  }
  const destination = onlyField(field.value, field.path, report);
  if (destination?.name === "destinationPort") return parsePort(destination.value, destination.path, protocol, report);
  if (destination !== undefined) report(destination.path, `${field.name} has no such field`);
  return undefined;
}

function parsePort(
  value: unknown,
  path: string,
  protocol: ServiceProtocol,
  report: ReportField,
): PolicyPort[] | undefined {
  const field = onlyField(value, path, report);
  if (field?.name === "number" && isPort(field.value)) return [{ protocol, port: field.value }];
  if (field?.name === "range") {
    const { start, end } = asObject(field.value) ?? {};
    if (isPort(start) && isPort(end) && start < end) return [{ protocol, port: start, endPort: end }];
  }
  if (field !== undefined) report(field.path, `${JSON.stringify(field.value)} is no port or range of ports`);
  return undefined;
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

/** One that is absent or empty is not understood: the API forbids it. */
function fullList(value: unknown, path: string, what: string, report: ReportField): readonly ListItem[] | undefined {
  let isList = true;
  const items = listItems(value, path, (field, why) => {
    isList = false;
    report(field, why);
  });
  if (isList && (items ?? []).length === 0) report(path, `it names no ${what}`);
  return items?.length === 0 ? undefined : items;
}

/** Every item, so that all that is wrong is reported; undefined when one of them is. */
function allOf<T>(
  items: readonly ListItem[] | undefined,
  parse: (item: ListItem) => readonly T[] | undefined,
): readonly T[] | undefined {
  const parsed = items?.map(parse);
  return parsed?.every((each) => each !== undefined) === true ? parsed.flatMap((each) => each ?? []) : undefined;
}
