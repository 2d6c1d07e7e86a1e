/**
 * Whether a cluster's NetworkPolicies let a connection through, read off the API's own text (networking.k8s.io/v1 types.go
 * and the concept page of kubernetes.io) over objects as users write them. It is slow, knows nothing of chains and sets, and
 * shares no line with src/: where it and the planner differ, one of them has misread the text.
 *
 * Where the text says that a field "cannot" be so and a server would refuse it, one rule of this project stands in: what is
 * not understood admits nothing.
 */
import { type Bits, blockContains, parseAddress } from "./addresses.ts";
import { matchesLabels } from "./label-selector.ts";
import { fieldsOf, isAbsent, isObject, itemsOf, listOf, MISFIT, stringsOf } from "./raw-fields.ts";

export type Raw = Readonly<Record<string, unknown>>;
export type Protocol = "TCP" | "UDP" | "SCTP";

/** Objects of the API, and the addresses of nodes. */
export interface RawCluster {
  readonly namespaces: readonly Raw[];
  readonly pods: readonly Raw[];
  readonly policies: readonly Raw[];
  /** Addresses by node. */
  readonly nodes: Readonly<Record<string, readonly string[]>>;
  /** ClusterNetworkPolicies, and Node objects that they may speak of: of no matter here. */
  readonly clusterPolicies?: readonly Raw[];
  readonly nodeObjects?: readonly Raw[];
}

export interface Connection {
  readonly source: string;
  readonly destination: string;
  readonly protocol: Protocol;
  /** That is dialled. */
  readonly port: number;
}

export type Direction = "Ingress" | "Egress";

/**
 * "Traffic is allowed if there are no NetworkPolicies selecting the pod, or if it matches at least one rule", at both ends.
 * @param node asks for the ends that are pods of this node alone
 */
export function isAllowed(cluster: RawCluster, connection: Connection, node?: string): boolean {
  return endAllows("Egress", cluster, connection, node) && endAllows("Ingress", cluster, connection, node);
}

/** Whether any policy selects an end of the connection in its direction. */
export function isIsolated(cluster: RawCluster, { source, destination }: Connection): boolean {
  const selected = (direction: Direction, pod: Raw | undefined) =>
    pod !== undefined && cluster.policies.some((policy) => appliesTo(policy, pod, direction));
  return selected("Egress", podAt(cluster, source)) || selected("Ingress", podAt(cluster, destination));
}

function endAllows(direction: Direction, cluster: RawCluster, connection: Connection, node?: string): boolean {
  const { pod, peer } = lookedAt(direction, cluster, connection);
  if (node !== undefined && fieldsOf(pod?.["spec"])["nodeName"] !== node) return true;
  return pod === undefined || policiesAllow(direction, pod, peer, cluster, connection) !== false;
}

/** The pod of this end, unless policies have no say between the two. */
export function lookedAt(
  direction: Direction,
  cluster: RawCluster,
  { source, destination }: Connection,
): { readonly pod: Raw | undefined; readonly peer: string } {
  const [own, peer] = direction === "Ingress" ? [destination, source] : [source, destination];
  const pod = podAt(cluster, own);
  if (pod === undefined || own === peer) return { pod: undefined, peer };
  // "Traffic to and from the node where a pod is running is always allowed, regardless of the IP address of either."
  const isOwnNode = cluster.nodes[String(fieldsOf(pod["spec"])["nodeName"])]?.includes(peer) === true;
  return { pod: isOwnNode ? undefined : pod, peer };
}

/** Undefined where none selects the pod. */
export function policiesAllow(
  direction: Direction,
  pod: Raw,
  peer: string,
  cluster: RawCluster,
  connection: Connection,
): boolean | undefined {
  const isolating = cluster.policies.filter((policy) => appliesTo(policy, pod, direction));
  if (isolating.length === 0) return undefined;
  return isolating.some((policy) => admits(policy, direction, peer, cluster, connection));
}

/** A pod of the host network is its node; a pod that is over has no address any more. */
export function podAt(cluster: RawCluster, ip: string): Raw | undefined {
  return cluster.pods.find((pod) => {
    const [spec, status] = [fieldsOf(pod["spec"]), fieldsOf(pod["status"])];
    if (spec["hostNetwork"] === true || ["Succeeded", "Failed"].includes(String(status["phase"]))) return false;
    if (isAbsent(status["podIPs"])) return status["podIP"] === ip;
    return itemsOf(status["podIPs"]).some((each) => fieldsOf(each)["ip"] === ip);
  });
}

function appliesTo(policy: Raw, pod: Raw, direction: Direction): boolean {
  const spec = fieldsOf(policy["spec"]);
  if (namespaceOf(policy) !== namespaceOf(pod)) return false;
  // "This field is optional. If it is not specified, it defaults to an empty selector."
  const selected = matchesLabels(spec["podSelector"] ?? {}, labelsOf(pod));
  // Not understood: it may be meant for this pod, and for either direction.
  return selected === MISFIT || (selected && affects(spec, direction));
}

/** policyTypes: "If this field is not specified, it will default based on the existence of ingress or egress rules". */
function affects(spec: Raw, direction: Direction): boolean {
  const types = listOf(spec["policyTypes"]);
  if (types === MISFIT) return true;
  if (types.length > 0) {
    return types.includes(direction) || types.some((type) => type !== "Ingress" && type !== "Egress");
  }
  const egress = listOf(spec["egress"]);
  return direction === "Ingress" || egress === MISFIT || egress.length > 0;
}

/** Some rule whose ports and whose peers both match. */
function admits(policy: Raw, direction: Direction, peer: string, cluster: RawCluster, connection: Connection): boolean {
  const spec = fieldsOf(policy["spec"]);
  if (matchesLabels(spec["podSelector"] ?? {}, {}) === MISFIT) return false;
  const rules = listOf(spec[direction === "Ingress" ? "ingress" : "egress"]);
  if (rules === MISFIT) return false;
  const dialled = podAt(cluster, connection.destination);
  return rules.some((rule) => {
    const { ports, from, to } = fieldsOf(rule);
    const peers = direction === "Ingress" ? from : to;
    return (
      isObject(rule) &&
      anyOf(ports, (each) => portMatches(each, connection, dialled)) &&
      anyOf(peers, (each) => peerMatches(each, peer, namespaceOf(policy), cluster))
    );
  });
}

/** "If this field is empty or missing, this rule matches all; otherwise at least one item has to match." */
function anyOf(list: unknown, matches: (item: unknown) => boolean): boolean {
  const items = listOf(list);
  return items !== MISFIT && (items.length === 0 || items.some(matches));
}

function portMatches(item: unknown, connection: Connection, dialled: Raw | undefined): boolean {
  if (!isObject(item)) return false;
  const { port, endPort, protocol } = item;
  // "If not specified, this field defaults to TCP."
  if ((protocol ?? "TCP") !== connection.protocol) return false;
  // "If this field is not provided, this matches all port names and numbers."; endPort "cannot be defined" without it.
  if (isAbsent(port)) return isAbsent(endPort);
  if (typeof port === "string")
    return isAbsent(endPort) && numbersOf(port, connection, dialled).includes(connection.port);
  if (!isPortNumber(port)) return false;
  if (isAbsent(endPort)) return connection.port === port;
  // "The endPort must be equal or greater than port."
  return isPortNumber(endPort) && endPort >= port && connection.port >= port && connection.port <= endPort;
}

/** "A numerical or named port on a pod": of a container, or of a sidecar, which runs as long as containers do. */
export function numbersOf(name: string, { protocol }: Connection, pod: Raw | undefined): unknown[] {
  const spec = fieldsOf(pod?.["spec"]);
  const sidecars = itemsOf(spec["initContainers"]).filter((each) => fieldsOf(each)["restartPolicy"] === "Always");
  return [...itemsOf(spec["containers"]), ...sidecars]
    .flatMap((container) => itemsOf(fieldsOf(container)["ports"]).map(fieldsOf))
    .filter((port) => name !== "" && port["name"] === name && (port["protocol"] ?? "TCP") === protocol)
    .map((port) => port["containerPort"]);
}

export function isPortNumber(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) < 1 << 16;
}

function peerMatches(item: unknown, ip: string, ownNamespace: string, cluster: RawCluster): boolean {
  const { ipBlock, podSelector, namespaceSelector } = fieldsOf(item);
  // "If this field is set then neither of the other fields can be."
  if (!isAbsent(ipBlock)) return isAbsent(podSelector) && isAbsent(namespaceSelector) && inBlock(ipBlock, ip);
  if (isAbsent(podSelector) && isAbsent(namespaceSelector)) return false;
  const pod = podAt(cluster, ip);
  if (pod === undefined || matchesLabels(podSelector ?? {}, labelsOf(pod)) !== true) return false;
  if (isAbsent(namespaceSelector)) return namespaceOf(pod) === ownNamespace;
  const namespace = cluster.namespaces.find((each) => fieldsOf(each["metadata"])["name"] === namespaceOf(pod));
  return namespace !== undefined && matchesLabels(namespaceSelector, labelsOf(namespace)) === true;
}

/** "Except values will be rejected if they are outside the cidr range": there they except nothing. */
function inBlock(ipBlock: unknown, ip: string): boolean {
  const { cidr, except } = fieldsOf(ipBlock);
  const [block, address] = [parseAddress(cidr), parseAddress(`${ip}/${ip.includes(":") ? 128 : 32}`)];
  const listed = stringsOf(except);
  if (block === undefined || address === undefined || listed === MISFIT || !blockContains(block, address)) return false;
  const holes = listed.map(parseAddress);
  return holes.every((hole) => hole !== undefined && !blockContains(hole, address) && !swallows(hole, block));
}

/** An exception around its whole block leaves nothing of it. */
function swallows(hole: Bits, block: Bits): boolean {
  return hole.length < block.length && blockContains(hole, block);
}

export function namespaceOf(object: Raw): string {
  return String(fieldsOf(object["metadata"])["namespace"]);
}

export function labelsOf(object: Raw): Readonly<Record<string, unknown>> {
  return fieldsOf(fieldsOf(object["metadata"])["labels"]);
}
