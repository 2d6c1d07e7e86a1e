/**
 * networking.k8s.io/v1 NetworkPolicy -> {@link ClusterPolicy}. What cannot be understood is reported and admits nothing:
 * a peer, a port or a rule without it would admit more than was meant.
 */
import type { ClusterPolicy, PolicyPeer, PolicyPort, PolicyRule } from "../model/policy.ts";
import { type Prefix, prefixAddress, prefixContains, prefixesOverlap, prefixLength } from "../model/prefix.ts";
import type { Selector } from "../model/selector.ts";
import { asObject, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { listItems, metadataName, prefixField, stringField } from "./parse-fields.ts";
import { closedList, isAbsent, type ListItem, parseSelector } from "./parse-selector.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

export function parseNetworkPolicy(object: JsonObject, report: ReportField): ClusterPolicy {
  const metadata = asObject(object["metadata"]);
  const spec = asObject(object["spec"]) ?? {};
  const selector = selectorField(spec["podSelector"] ?? {}, "spec.podSelector", report);
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
  if (listed.length === 0) {
    // A section without rules is none (SetDefaults_NetworkPolicy); one that is no list may mean anything.
    const egress = closedList(spec["egress"], "spec.egress", () => undefined);
    return new Set(egress?.length === 0 ? ["Ingress"] : ["Ingress", "Egress"]);
  }
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
  const pods = selectorField(podSelector ?? {}, `${path}.podSelector`, report);
  if (isAbsent(namespaceSelector)) return pods && { kind: "pods", pods };
  const namespaces = selectorField(namespaceSelector, `${path}.namespaceSelector`, report);
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

/** Undefined, and a report, when it cannot be understood. */
function selectorField(value: unknown, path: string, report: ReportField): Selector | undefined {
  return parseSelector(value, path, (field, why) => report(field, `${why}: the selector matches nothing`));
}
