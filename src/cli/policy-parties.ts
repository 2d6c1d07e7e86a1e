/** Who is meant by the words of `breakwater policy explain`: pods and nodes of the cluster, or the outside. */
import { BreakwaterError } from "../model/errors.ts";
import { type Ip, ipFamily } from "../model/ip.ts";
import { prefixAddress, prefixContains } from "../model/prefix.ts";
import type { ServiceProtocol } from "../model/service.ts";
import type { Party } from "../plan/policies/explain.ts";
import { listText } from "../plan/policies/policy-text.ts";
import type { KnownCluster, KnownPod, KnownServices } from "./policy-cluster.ts";
import { refuseService } from "./policy-services.ts";
import type { Target, Who } from "./policy-target.ts";

export interface Found {
  readonly party: Party;
  /** What is to be known of it, a sentence each. */
  readonly notes: readonly string[];
}

/** Services are asked for only where an address may be one's. */
export type AskServices = () => Promise<KnownServices>;

/** The question cannot be answered as it was asked. */
export function cannotExplain(message: string, object: string, remedy: string): BreakwaterError {
  return new BreakwaterError("BW_EXPLAIN", message, { operation: "explain", object, remedy });
}

/** @throws BreakwaterError BW_EXPLAIN */
export async function findSource(who: Who, cluster: KnownCluster, ask: AskServices): Promise<Found> {
  if (who.kind === "pod") return findPod(who, cluster, ask, "source");
  const found = findAddress(who.ip, cluster);
  if (found.party.kind !== "outside") return found;
  const service = (await ask()).services.find(({ clusterIps }) => clusterIps.includes(who.ip));
  if (service !== undefined)
    throw cannotExplain(
      `${who.ip} is the ClusterIP of Service ${service.namespace}/${service.name}: nothing dials from it`,
      who.ip,
      "Give the pod that dials, as NAMESPACE/POD",
    );
  const note =
    "Connections from outside that come through a Service have their node's address by the time policies look, unless its externalTrafficPolicy is Local: ask about the node's address too";
  return { ...found, notes: [...found.notes, note] };
}

/** @throws BreakwaterError BW_EXPLAIN, also where it is a Service's address: policies see endpoints */
export async function findTarget(target: Target, cluster: KnownCluster, ask: AskServices): Promise<Found> {
  const { who } = target;
  if (who.kind === "pod") return findPod(who, cluster, ask, "target");
  const found = findAddress(who.ip, cluster);
  if (found.party.kind !== "pod") refuseService(who.ip, found.party.kind === "node", target, cluster, await ask());
  return found;
}

async function findPod(
  { namespace, name }: Extract<Who, { kind: "pod" }>,
  cluster: KnownCluster,
  ask: AskServices,
  role: "source" | "target",
): Promise<Found> {
  const key = `${namespace}/${name}`;
  const pod = cluster.known.get(key);
  if (pod === undefined) throw await noSuchPod(namespace, name, cluster, ask);
  if (pod.phase === "Succeeded" || pod.phase === "Failed")
    throw cannotExplain(`Pod ${key} is over (${pod.phase}): it has no address any more`, key, alike(pod, cluster));
  if (pod.podIps.length === 0)
    throw cannotExplain(
      `Pod ${key} has no address yet (${pod.phase || "Pending"}, ${pod.nodeName === "" ? "on no node" : `on ${pod.nodeName}`}), and policies judge addresses`,
      key,
      `See why it does not start: kubectl -n ${namespace} describe pod ${name}`,
    );
  if (pod.policyPod !== undefined) {
    const party = { name: key, kind: "pod", pod: pod.policyPod, nodeName: pod.nodeName, ips: pod.podIps } as const;
    return { party, notes: sharedAddress(pod.podIps, key, cluster) };
  }
  // What it sends through the tunnel has the address that its node has there.
  const ips = role === "source" ? [...new Set([...pod.podIps, ...tunnelAddresses(pod.nodeName, cluster)])] : pod.podIps;
  const note = `${key} is on the host network: to policies it is no pod but node ${pod.nodeName}, and only an ipBlock can mean it`;
  return { party: { name: key, kind: "node", nodeName: pod.nodeName, ips }, notes: [note] };
}

/** Whoever has an address; the outside where nobody of the cluster has it. */
function findAddress(ip: Ip, cluster: KnownCluster): Found {
  if (/^(?:0\.|127\.|2(?:2[4-9]|3\d)\.|255\.255\.255\.255$|::1?$|ff..:|fe[89ab].:|169\.254\.)/.test(ip))
    throw cannotExplain(
      `${ip} is no address that is forwarded between machines: no policy sees its packets`,
      ip,
      "Give the address that the other end has",
    );
  const pod = cluster.pods.find(({ ips }) => ips.includes(ip));
  if (pod !== undefined) {
    const name = `${pod.namespace}/${pod.name}`;
    const party = { name, kind: "pod", pod, nodeName: pod.nodeName, ips: [ip] } as const;
    return { party, notes: sharedAddress([ip], name, cluster) };
  }
  for (const node of cluster.nodes.values()) {
    if (!node.internalIps.includes(ip) && !tunnelAddresses(node.name, cluster).includes(ip)) continue;
    return { party: { name: ip, kind: "node", nodeName: node.name, ips: [ip] }, notes: [] };
  }
  return { party: { name: ip, kind: "outside", ips: [ip] }, notes: outsideNotes(ip, cluster) };
}

function outsideNotes(ip: Ip, { nodes }: KnownCluster): string[] {
  const all = [...nodes.values()];
  const near = all.find(({ podCidrs }) => podCidrs.some((cidr) => prefixContains(cidr, ip)));
  // The machine has it, or somebody in front of the machine translates it.
  const behind = all.find(({ externalIps = [] }) => externalIps.includes(ip));
  return [
    ...(near ? [`${ip} lies in the pod CIDR of node ${near.name}, but no pod has it: nobody would answer`] : []),
    ...(behind
      ? [`${ip} is an ExternalIP of node ${behind.name}: if that machine itself has it, its own pods always reach it`]
      : []),
  ];
}

/** A node's own end of the tunnel has the first address of each of its pod CIDRs. */
function tunnelAddresses(nodeName: string, { nodes }: KnownCluster): Ip[] {
  return (nodes.get(nodeName)?.podCidrs ?? []).map(prefixAddress);
}

function sharedAddress(ips: readonly Ip[], key: string, { pods }: KnownCluster): string[] {
  return pods.flatMap((other) => {
    const name = `${other.namespace}/${other.name}`;
    const shared = name === key ? undefined : other.ips.find((ip) => ips.includes(ip));
    if (shared === undefined) return [];
    return [
      `${name} has the address ${shared} too: until one of the two is gone, only what is allowed for both passes`,
    ];
  });
}

async function noSuchPod(
  namespace: string,
  name: string,
  cluster: KnownCluster,
  ask: AskServices,
): Promise<BreakwaterError> {
  const key = `${namespace}/${name}`;
  if (!cluster.namespaces.has(namespace)) {
    const names = listText([...cluster.namespaces.keys()].sort(), 12);
    return cannotExplain(`There is no namespace ${namespace}`, key, `There are ${names}`);
  }
  const { services } = await ask();
  if (services.some((service) => service.namespace === namespace && service.name === name))
    return cannotExplain(
      `There is no pod ${key}, but a Service: policies see the endpoint that it chooses, and its port`,
      key,
      `Ask about a pod: kubectl -n ${namespace} get endpointslices -l kubernetes.io/service-name=${name}`,
    );
  const near = [...cluster.known.keys()].filter((each) => each.startsWith(`${key}-`)).sort();
  const remedy =
    near.length > 0
      ? `Pods whose names begin so: ${listText(near)}`
      : `See what there is: kubectl -n ${namespace} get pods -o wide`;
  return cannotExplain(`There is no pod ${key}`, key, remedy);
}

/** Another pod of the same owner, where labels tell. */
function alike(pod: KnownPod, { known }: KnownCluster): string {
  const app = pod.labels["app"] ?? pod.labels["app.kubernetes.io/name"];
  const others = [...known.values()].filter(
    ({ namespace, labels, policyPod, podIps }) =>
      namespace === pod.namespace &&
      policyPod !== undefined &&
      podIps.length > 0 &&
      app !== undefined &&
      (labels["app"] ?? labels["app.kubernetes.io/name"]) === app,
  );
  if (others.length === 0) return `Ask about one that runs: kubectl -n ${pod.namespace} get pods -o wide`;
  return `Ask about one that runs: ${listText(others.map(({ namespace, name }) => `${namespace}/${name}`))}`;
}

export interface ChosenPort {
  readonly protocol: ServiceProtocol;
  readonly port: number;
}

/**
 * The ports that are dialled: a number, the name of one of the pod's, or, where none is given, all that it declares.
 * @throws BreakwaterError BW_EXPLAIN
 */
export function choosePorts({ port, protocol }: Target, { party }: Found, cluster: KnownCluster): ChosenPort[] {
  const declared = party.kind === "pod" ? (cluster.known.get(party.name)?.declaredPorts ?? []) : [];
  const all = declared.map(
    (each) => `${each.port}/${each.protocol}${each.name === undefined ? "" : ` (${each.name})`}`,
  );
  const says = all.length === 0 ? `${party.name} declares no port` : `${party.name} declares ${listText(all, 12)}`;
  if (port !== undefined && /^\d+$/.test(port)) {
    const number = Number(port);
    if (number >= 1 && number <= 65_535) return [{ protocol: protocol ?? "TCP", port: number }];
    throw cannotExplain(`${port} is no port: they go from 1 to 65535`, party.name, says);
  }
  const wanted = declared.filter(
    (each) => (port === undefined || each.name === port) && (protocol === undefined || each.protocol === protocol),
  );
  const distinct = new Map(wanted.map((each) => [`${each.port}/${each.protocol}`, each]));
  if (distinct.size > 0) return [...distinct.values()].map((each) => ({ protocol: each.protocol, port: each.port }));
  const missing = port === undefined ? "Which port is dialled is not said" : `${party.name} has no port "${port}"`;
  throw cannotExplain(missing, party.name, `${says}; give one as ${written(party)}:PORT[/PROTO]`);
}

function written({ name }: Party): string {
  return name.includes(":") ? `[${name}]` : name;
}

/** @throws BreakwaterError BW_EXPLAIN where the two can never meet */
export function refuseForeignFamilies(from: Party, to: Party): void {
  const families = (party: Party) => [...new Set(party.ips.map((ip) => ipFamily(ip)))];
  const [ours, theirs] = [families(from), families(to)];
  if (ours.some((family) => theirs.includes(family))) return;
  const [first = 4] = theirs;
  throw cannotExplain(
    `${from.name} has no IPv${first} address, and ${to.name} no other: they cannot talk, whatever policies say`,
    `${from.name} -> ${to.name}`,
    "Give an address of the other family, where there is one",
  );
}
