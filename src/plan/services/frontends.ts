/**
 * A Service and its EndpointSlices -> where it answers on this node. The rules are kube-proxy's; docs/design/services.md
 * has them in one table.
 */
import type { Frontend, ServicePlan } from "../../model/frontend.ts";
import { type Ip, ipFamily } from "../../model/ip.ts";
import { outermostPrefixes, type Prefix, prefixContains } from "../../model/prefix.ts";
import {
  type ClusterService,
  type EndpointSlice,
  type ServicePort,
  type SliceEndpoint,
  serviceKey,
} from "../../model/service.ts";
import { type ChosenEndpoints, chooseEndpoints, portEndpoints, type ServingNode } from "./endpoints.ts";
import { type IpvsContext, ipvsManner } from "./ipvs.ts";

export interface ServiceContext extends ServingNode {
  /** Addresses of the node on which NodePorts answer. */
  readonly nodePortAddresses: readonly Ip[];
  /** All addresses of the node. */
  readonly addresses: readonly Ip[];
  /** Pod CIDRs of the node. */
  readonly podCidrs: readonly Prefix[];
  /** Where IPVS serves; absent: the maps of nftables do. */
  readonly ipvs?: IpvsContext;
}

/** @param slices those of the Service, in any order */
export function planService(
  service: ClusterService,
  slices: readonly EndpointSlice[],
  context: ServiceContext,
): ServicePlan {
  const key = serviceKey(service);
  const createdAt = service.createdAt ?? "";
  const nothing = { key, createdAt, clusterIps: [], frontends: [], localAddresses: [], problems: [] };
  if (!isServed(service)) return nothing;
  const frontends = new Map<string, Frontend>();
  const localAddresses = new Set<Ip>();
  let localEndpoints = 0;
  for (const family of [4, 6] as const) {
    // Of a family in which it has no ClusterIP it has no endpoints either, and no other address counts.
    if (!service.clusterIps.some((address) => ipFamily(address) === family)) continue;
    const here = new Set<Ip>();
    for (const port of service.ports) {
      const endpoints = portEndpoints(slices, port, family);
      for (const { endpoint } of endpoints) {
        if (isPodHere(endpoint, context)) localAddresses.add(endpoint.address);
        if (endpoint.ready && endpoint.nodeName === context.name) here.add(endpoint.address);
      }
      for (const frontend of portFrontends(service, port, family, chooseEndpoints(endpoints, context), context)) {
        if (!frontends.has(frontend.key)) frontends.set(frontend.key, frontend);
      }
    }
    localEndpoints = Math.max(localEndpoints, here.size);
  }
  return {
    ...nothing,
    clusterIps: service.clusterIps,
    frontends: [...frontends.values()],
    localAddresses: [...localAddresses].sort(),
    ...(service.healthCheckNodePort === undefined
      ? {}
      : { healthCheck: { port: service.healthCheckNodePort, localEndpoints } }),
    problems: problemsOf(service, slices),
  };
}

/** What of its objects could not be used. */
function problemsOf(service: ClusterService, slices: readonly EndpointSlice[]): string[] {
  const ofSlices = slices.flatMap(({ name, problems = [] }) => problems.map((why) => `EndpointSlice ${name}: ${why}`));
  return [...(service.problems ?? []), ...ofSlices].sort();
}

/** Headless Services and ExternalNames are DNS's work; some Services belong to another proxy. */
export function isServed(service: ClusterService): boolean {
  return service.type !== "ExternalName" && service.clusterIps.length > 0 && service.leftTo === undefined;
}

/** True for addresses of the node and of its pods: for whom externalTrafficPolicy does not count. */
export function isInside(ip: Ip, { addresses, podCidrs }: Pick<ServiceContext, "addresses" | "podCidrs">): boolean {
  return addresses.includes(ip) || podCidrs.some((prefix) => prefixContains(prefix, ip));
}

function isPodHere({ address, nodeName }: SliceEndpoint, { name, podCidrs }: ServiceContext): boolean {
  // Most endpoints say that they are elsewhere, and comparing text is cheap.
  if (nodeName !== undefined && nodeName !== name) return false;
  return podCidrs.some((prefix) => prefixContains(prefix, address));
}

/** Where one address is several, the first counts: a load balancer's is guarded, also where it is an external IP too. */
function portFrontends(
  service: ClusterService,
  port: ServicePort,
  family: 4 | 6,
  chosen: ChosenEndpoints,
  context: ServiceContext,
): Frontend[] {
  const ours = (addresses: readonly Ip[]) => addresses.filter((address) => ipFamily(address) === family);
  const frontend = (kind: Frontend["kind"], address: Ip, number: number): Frontend => ({
    ...identity(service, port, address, number),
    ...virtual(kind, address, context),
    ...(kind === "ClusterIP" ? clusterPolicy(service, chosen) : externalPolicy(service, chosen)),
    kind,
    ...(service.affinitySeconds === undefined ? {} : { affinitySeconds: service.affinitySeconds }),
    ...(kind === "LoadBalancer" && service.sourceRanges !== undefined
      ? { sourceRanges: admitted(service.sourceRanges, address, context) }
      : {}),
  });
  const { nodePort } = port;
  return [
    ...ours(service.clusterIps).map((address) => frontend("ClusterIP", address, port.port)),
    ...ours(service.loadBalancerIps).map((address) => frontend("LoadBalancer", address, port.port)),
    ...ours(service.externalIps).map((address) => frontend("ExternalIP", address, port.port)),
    ...(nodePort === undefined
      ? []
      : ours(context.nodePortAddresses).map((address) => frontend("NodePort", address, nodePort))),
  ];
}

function identity(service: ClusterService, port: ServicePort, address: Ip, number: number) {
  const protocol = port.protocol.toLowerCase() as Frontend["protocol"];
  return {
    key: `${address} . ${protocol} . ${number}`,
    family: ipFamily(address),
    address,
    protocol,
    port: number,
    service: port.name === "" ? serviceKey(service) : `${serviceKey(service)}:${port.name}`,
  };
}

function virtual(
  kind: Frontend["kind"],
  address: Ip,
  { ipvs, addresses }: ServiceContext,
): Pick<Frontend, "ipvs"> | undefined {
  const manner = ipvs && ipvsManner(kind, address, addresses, ipvs);
  return manner && { ipvs: manner };
}

type Policy = Pick<Frontend, "endpoints" | "outside" | "otherwise" | "keepsSource">;

function clusterPolicy(service: ClusterService, { cluster, local, any }: ChosenEndpoints): Policy {
  const endpoints = service.internalPolicy === "Local" ? local : cluster;
  return { endpoints, otherwise: any ? "drop" : "reject", keepsSource: false };
}

/** This node and its pods are let to all endpoints in any case: they need not come by an outside address. */
function externalPolicy(service: ClusterService, { cluster, local, any }: ChosenEndpoints): Policy {
  const isLocal = service.externalPolicy === "Local";
  return {
    endpoints: cluster,
    ...(isLocal && any ? { outside: local } : {}),
    otherwise: any ? "drop" : "reject",
    keepsSource: isLocal,
  };
}

/**
 * A node that is let in comes with the load balancer's own address where that is assigned to it. Its tunnel device has an
 * address too, but of the pods: to let pods in is not to let nodes in.
 */
function admitted(ranges: readonly Prefix[], address: Ip, { addresses, podCidrs }: ServiceContext): Prefix[] {
  const family = ipFamily(address);
  const own = ranges.filter((range) => ipFamily(range) === family);
  const isIn = (ip: Ip, prefixes: readonly Prefix[]) => prefixes.some((prefix) => prefixContains(prefix, ip));
  const isNodeIn = addresses.some((ip) => ipFamily(ip) === family && isIn(ip, own) && !isIn(ip, podCidrs));
  const hosts = isNodeIn ? [`${address}/${family === 4 ? 32 : 128}`] : [];
  return outermostPrefixes([...own, ...hosts]);
}
