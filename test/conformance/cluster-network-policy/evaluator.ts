/**
 * Whether policies of all tiers let a connection through, read off the API's own text (policy.networking.k8s.io/v1alpha2,
 * clusternetworkpolicy_types.go) over objects as users write them. As its sibling of NetworkPolicies it is slow and shares no
 * line with src/. "Fail closed" is the text's own word: an Accept rule matches no traffic, a Deny or a Pass rule is a "Deny all"
 * rule. Where the text leaves open which of two policies comes first, the name decides.
 */
import { blockContains, parseAddress } from "../netpol/addresses.ts";
import {
  type Connection,
  type Direction,
  isPortNumber,
  labelsOf,
  lookedAt,
  namespaceOf,
  numbersOf,
  podAt,
  policiesAllow,
  type Raw,
  type RawCluster,
} from "../netpol/evaluator.ts";
import { matchesLabels } from "../netpol/label-selector.ts";
import { fieldsOf, isAbsent, isObject, itemsOf, listOf, MISFIT, type Misfit } from "../netpol/raw-fields.ts";

type Outcome = "Accept" | "Deny" | "Pass";
type Answer = boolean | Misfit;

/** Who has the last word at an end of a connection. */
export type Decider = "Admin" | "NetworkPolicy" | "Baseline" | "nobody";

export interface Verdict {
  readonly allowed: boolean;
  /** At both ends. */
  readonly by: readonly Decider[];
}

export function evaluate(cluster: RawCluster, connection: Connection): Verdict {
  const ends = (["Egress", "Ingress"] as const).map((direction) => evaluateEnd(direction, cluster, connection));
  return { allowed: ends.every(({ allowed }) => allowed), by: ends.map(({ by }) => by) };
}

/**
 * "Policy tiers are evaluated in the following order: Admin tier, NetworkPolicy tier, Baseline tier. If a given connection
 * wasn't allowed or denied by any of the tiers, the default kubernetes policy is applied: all pods can communicate."
 */
function evaluateEnd(
  direction: Direction,
  cluster: RawCluster,
  connection: Connection,
): { readonly allowed: boolean; readonly by: Decider } {
  const { pod, peer } = lookedAt(direction, cluster, connection);
  if (pod === undefined) return { allowed: true, by: "nobody" };
  const admin = tierOutcome("Admin", direction, pod, peer, cluster, connection);
  if (admin === "Accept" || admin === "Deny") return { allowed: admin === "Accept", by: "Admin" };
  // "v1.NetworkPolicy always makes a final decision for selected pods."
  const allowed = policiesAllow(direction, pod, peer, cluster, connection);
  if (allowed !== undefined) return { allowed, by: "NetworkPolicy" };
  const baseline = tierOutcome("Baseline", direction, pod, peer, cluster, connection);
  return { allowed: baseline !== "Deny", by: baseline === "Accept" || baseline === "Deny" ? "Baseline" : "nobody" };
}

function tierOutcome(
  tier: "Admin" | "Baseline",
  direction: Direction,
  pod: Raw,
  peer: string,
  cluster: RawCluster,
  connection: Connection,
): Outcome | undefined {
  const policies = (cluster.clusterPolicies ?? []).filter((policy) => tierOf(policy) === tier).sort(earlier);
  for (const policy of policies) {
    if (selects(policy, pod, cluster) === false) continue;
    const rules = listOf(fieldsOf(policy["spec"])[direction === "Ingress" ? "ingress" : "egress"]);
    if (rules === MISFIT) return "Deny";
    for (const rule of rules) {
      const outcome = ruleOutcome(rule, direction, peer, cluster, connection);
      const final = isWhole(policy) || outcome === undefined ? outcome : outcome === "Accept" ? undefined : "Deny";
      if (final !== undefined) return final;
    }
  }
  return undefined;
}

/** What stands in no tier that is known stands in front of all. */
function tierOf(policy: Raw): unknown {
  const { tier } = fieldsOf(policy["spec"]);
  return tier === "Baseline" ? tier : "Admin";
}

/** "Priority is a value from 0 to 1000. Policies with lower priority values have higher precedence." */
function earlier(a: Raw, b: Raw): number {
  const [first, second] = [priorityOf(a), priorityOf(b)];
  if (first !== second) return first - second;
  return String(fieldsOf(a["metadata"])["name"]) < String(fieldsOf(b["metadata"])["name"]) ? -1 : 1;
}

function priorityOf(policy: Raw): number {
  const { priority } = fieldsOf(policy["spec"]);
  const isOne = typeof priority === "number" && priority % 1 === 0 && priority >= 0 && priority <= 1000;
  return isOne ? priority : Number.NEGATIVE_INFINITY;
}

/** Tier, priority and subject are understood: else it may only deny. */
function isWhole(policy: Raw): boolean {
  const { tier, subject } = fieldsOf(policy["spec"]);
  const isPlaced = (tier === "Admin" || tier === "Baseline") && Number.isFinite(priorityOf(policy));
  return isPlaced && subjectHolds(subject, {}, {}) !== MISFIT;
}

function selects(policy: Raw, pod: Raw, cluster: RawCluster): boolean {
  const { subject } = fieldsOf(policy["spec"]);
  // Not understood: it may be anybody.
  return subjectHolds(subject, labelsOf(pod), namespaceLabels(namespaceOf(pod), cluster)) !== false;
}

/** "Exactly one field must be set." */
function subjectHolds(subject: unknown, labels: Raw, namespace: Raw): Answer {
  const [name, value] = onlyField(subject);
  if (name === "namespaces") return matchesLabels(value, namespace);
  return name === "pods" ? podsHold(value, labels, namespace) : MISFIT;
}

/** "NamespaceSelector follows standard label selector semantics; if empty, it selects all Namespaces." It is optional. */
function podsHold(value: unknown, labels: Raw, namespace: Raw): Answer {
  const { namespaceSelector, podSelector } = fieldsOf(value);
  const answers = [matchesLabels(namespaceSelector ?? {}, namespace), matchesLabels(podSelector, labels)];
  return answers.includes(MISFIT) ? MISFIT : answers.every((answer) => answer === true);
}

function namespaceLabels(name: string, cluster: RawCluster): Raw {
  return labelsOf(cluster.namespaces.find((each) => fieldsOf(each["metadata"])["name"] === name) ?? {});
}

/** Undefined when it does not match. */
function ruleOutcome(
  rule: unknown,
  direction: Direction,
  peer: string,
  cluster: RawCluster,
  connection: Connection,
): Outcome | undefined {
  const { action, from, to, protocols } = fieldsOf(rule);
  const peers = fullList(direction === "Ingress" ? from : to);
  const isPeer = anyOf(peers, (each) => peerHolds(each, direction, peer, cluster));
  const isProtocol =
    isAbsent(protocols) || anyOf(fullList(protocols), (each) => protocolHolds(each, cluster, connection));
  const isMisfit =
    !isObject(rule) || isPeer === MISFIT || isProtocol === MISFIT || namesPortsOfOthers(peers, protocols);
  if (isMisfit) return action === "Accept" ? undefined : "Deny";
  if (!(isPeer && isProtocol)) return undefined;
  return action === "Accept" || action === "Pass" ? action : "Deny";
}

/** "You can't use this in a rule that targets resources without named ports (e.g. Nodes or Networks)." */
function namesPortsOfOthers(peers: readonly unknown[] | Misfit, protocols: unknown): boolean {
  const isNamed = itemsOf(protocols).some((each) => "destinationNamedPort" in fieldsOf(each));
  const isOther = peers !== MISFIT && peers.some((each) => ["nodes", "networks"].includes(onlyField(each)[0] ?? ""));
  return isNamed && isOther;
}

/** "This field must be defined and contain at least one item." */
function fullList(value: unknown): readonly unknown[] | Misfit {
  const items = listOf(value);
  return items !== MISFIT && items.length > 0 ? items : MISFIT;
}

/** One that is not understood spoils the rule, whatever the others say. */
function anyOf(items: readonly unknown[] | Misfit, holds: (item: unknown) => Answer): Answer {
  if (items === MISFIT) return MISFIT;
  const answers = items.map(holds);
  return answers.includes(MISFIT) ? MISFIT : answers.includes(true);
}

/** Of an object of alternatives the one that is there; none where there is not exactly one. */
function onlyField(value: unknown): readonly [string?, unknown?] {
  const fields = Object.entries(fieldsOf(value)).filter(([, each]) => !isAbsent(each));
  return fields.length === 1 ? (fields[0] ?? []) : [];
}

function peerHolds(item: unknown, direction: Direction, ip: string, cluster: RawCluster): Answer {
  const [name, value] = onlyField(item);
  const pod = podAt(cluster, ip);
  if (name === "namespaces" || name === "pods") {
    const [labels, namespace] = pod ? [labelsOf(pod), namespaceLabels(namespaceOf(pod), cluster)] : [{}, {}];
    const holds = name === "pods" ? podsHold(value, labels, namespace) : matchesLabels(value, namespace);
    return holds === MISFIT ? MISFIT : pod !== undefined && holds;
  }
  if (direction === "Egress" && name === "nodes") return nodesHold(value, ip, cluster);
  if (direction === "Egress" && name === "networks") return networksHold(value, ip);
  return MISFIT;
}

/** "It selects the nodeIPs as the peer type by matching on the IPs present in the node.Status.Addresses field of the node." */
function nodesHold(selector: unknown, ip: string, cluster: RawCluster): Answer {
  if (matchesLabels(selector, {}) === MISFIT) return MISFIT;
  return (cluster.nodeObjects ?? []).some((node) => {
    const addresses = itemsOf(fieldsOf(node["status"])["addresses"]).map((each) => fieldsOf(each)["address"]);
    return addresses.includes(ip) && matchesLabels(selector, labelsOf(node)) === true;
  });
}

function networksHold(value: unknown, ip: string): Answer {
  const address = parseAddress(`${ip}/${ip.includes(":") ? 128 : 32}`);
  return anyOf(fullList(value), (each) => {
    const block = parseAddress(each);
    return block === undefined || address === undefined ? MISFIT : blockContains(block, address);
  });
}

function protocolHolds(item: unknown, cluster: RawCluster, connection: Connection): Answer {
  const [name, value] = onlyField(item);
  if (name === "destinationNamedPort") {
    if (typeof value !== "string" || value === "") return MISFIT;
    return numbersOf(value, connection, podAt(cluster, connection.destination)).includes(connection.port);
  }
  if (name === undefined || !["tcp", "udp", "sctp"].includes(name)) return MISFIT;
  const [destination, port] = onlyField(value);
  const [kind, number] = destination === "destinationPort" ? onlyField(port) : [];
  const isOurs = name.toUpperCase() === connection.protocol;
  if (kind === "number") return isPortNumber(number) ? isOurs && number === connection.port : MISFIT;
  if (kind !== "range") return MISFIT;
  const { start, end } = fieldsOf(number);
  if (!isPortNumber(start) || !isPortNumber(end) || start >= end) return MISFIT;
  return isOurs && connection.port >= start && connection.port <= end;
}
