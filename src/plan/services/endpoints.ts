/**
 * Which endpoints of a Service's port serve traffic on a node: kube-proxy's rules (pkg/proxy/topology.go), by readiness,
 * traffic policy and topology hints (KEP-1669, KEP-2433, KEP-3015).
 */
import { ipFamily } from "../../model/ip.ts";
import type { EndpointSlice, ServicePort, SliceEndpoint } from "../../model/service.ts";

/** The node for which Services are planned. */
export interface ServingNode {
  readonly name: string;
  /** Label topology.kubernetes.io/zone. */
  readonly zone?: string | undefined;
}

export interface PortEndpoint {
  readonly endpoint: SliceEndpoint;
  readonly port: number;
  /** `ADDRESS . PORT`. */
  readonly text: string;
}

export interface ChosenEndpoints {
  /** What policy Cluster uses. Sorted. */
  readonly cluster: readonly string[];
  /** What policy Local uses. Sorted. */
  readonly local: readonly string[];
  /** Some endpoint serves, here or elsewhere. */
  readonly any: boolean;
}

/** Endpoints of one port and family, each once: the best where slices disagree about one. */
export function portEndpoints(slices: readonly EndpointSlice[], port: ServicePort, family: 4 | 6): PortEndpoint[] {
  const found = new Map<string, PortEndpoint>();
  for (const slice of slices) {
    if (slice.family !== family) continue;
    for (const { name, protocol, port: number } of slice.ports) {
      if (name !== port.name || protocol !== port.protocol) continue;
      for (const endpoint of slice.endpoints) {
        if (ipFamily(endpoint.address) !== family) continue;
        const text = `${endpoint.address} . ${number}`;
        const before = found.get(text);
        if (before !== undefined && rank(before.endpoint) >= rank(endpoint)) continue;
        found.set(text, { endpoint, port: number, text });
      }
    }
  }
  return [...found.values()];
}

function rank(endpoint: SliceEndpoint): number {
  return endpoint.ready ? 2 : servesLast(endpoint) ? 1 : 0;
}

/** An endpoint that goes away serves while no other does (KEP-1669). */
function servesLast(endpoint: SliceEndpoint): boolean {
  return endpoint.serving && endpoint.terminating;
}

export function chooseEndpoints(endpoints: readonly PortEndpoint[], node: ServingNode): ChosenEndpoints {
  const ready = endpoints.filter(({ endpoint }) => endpoint.ready);
  const last = endpoints.filter(({ endpoint }) => !endpoint.ready && servesLast(endpoint));
  const isHere = ({ endpoint }: PortEndpoint) => endpoint.nodeName === node.name;
  const near = ready.filter(nearness(ready, node));
  const localReady = ready.filter(isHere);
  return {
    cluster: texts(near.length > 0 ? near : last),
    local: texts(localReady.length > 0 ? localReady : last.filter(isHere)),
    any: ready.length > 0 || last.length > 0,
  };
}

function texts(endpoints: readonly PortEndpoint[]): string[] {
  return endpoints.map(({ text }) => text).sort();
}

/** Hints count only where every ready endpoint has them and one is meant for this node or zone. */
function nearness(ready: readonly PortEndpoint[], { name, zone }: ServingNode): (endpoint: PortEndpoint) => boolean {
  const forNode = ({ endpoint }: PortEndpoint) => endpoint.nodeHints?.includes(name) === true;
  const forZone = ({ endpoint }: PortEndpoint) => zone !== undefined && endpoint.zoneHints?.includes(zone) === true;
  const all = (has: (endpoint: SliceEndpoint) => boolean) => ready.every(({ endpoint }) => has(endpoint));
  if (all(({ nodeHints }) => (nodeHints?.length ?? 0) > 0) && ready.some(forNode)) return forNode;
  if (all(({ zoneHints }) => (zoneHints?.length ?? 0) > 0) && ready.some(forZone)) return forZone;
  return () => true;
}
