/**
 * Which Service addresses a node announces: a route of one address (/32, /128) each, and which Service asks for it. Where
 * traffic stays on the node that it comes to (policy Local), only nodes with a ready endpoint announce the address; one that
 * terminates is not ready, so that routers turn away before it is gone. docs/design/load-balancer.md has the rules.
 */
import type { BgpClusterConfig } from "../../model/bgp.ts";
import type { ClusterNode } from "../../model/cluster.ts";
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import { type Prefix, prefixContains } from "../../model/prefix.ts";
import { type ClusterService, type EndpointSlice, serviceKey, type TrafficPolicy } from "../../model/service.ts";
import { RememberedByKey } from "../memo.ts";
import { AnnouncementTable, type Verdict } from "./announcement-table.ts";

export type AnnouncedKind = "ClusterIP" | "ExternalIP" | "LoadBalancer";

export interface AnnouncementReason {
  /** "namespace/name". */
  readonly service: string;
  readonly kind: AnnouncedKind;
}

export interface Announcement {
  readonly prefix: Prefix;
  /** Services that ask for it: several may share an address. Sorted. */
  readonly reasons: readonly AnnouncementReason[];
}

/** An address that this node does not announce although its kind is announced. */
export interface Withheld extends AnnouncementReason {
  readonly address: Ip;
  readonly why: string;
}

export interface AnnouncementPlan {
  /** Sorted by prefix, each once. */
  readonly announced: readonly Announcement[];
  /** Sorted by address and Service. */
  readonly withheld: readonly Withheld[];
}

export interface AnnouncementInput {
  readonly node: Pick<ClusterNode, "name" | "labels">;
  readonly nodes: ReadonlyMap<string, ClusterNode>;
  readonly advertise: BgpClusterConfig["advertise"];
  /** By "namespace/name". */
  readonly services: ReadonlyMap<string, ClusterService>;
  /** The same list for as long as nothing happens to them. */
  readonly slicesOf: (serviceKey: string) => readonly EndpointSlice[];
}

/** Well-known label (KEP-1143): no load balancer leads to the node. */
const EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers";

const NOTHING: AnnouncementPlan = { announced: [], withheld: [] };

/** Plans again only for Services that changed. */
export class AnnouncementPlanner {
  readonly #services = new RememberedByKey<string, readonly Verdict[]>();
  readonly #table = new AnnouncementTable();

  /** @returns the same plan as before where nothing changed */
  plan(input: AnnouncementInput): AnnouncementPlan {
    const { node, nodes, advertise, services, slicesOf } = input;
    const { clusterIPs, externalIPs, loadBalancerIPs } = advertise;
    if (!clusterIPs && !externalIPs && !loadBalancerIPs) return NOTHING;
    const verdicts = new Map<string, readonly Verdict[]>();
    for (const [key, service] of services) {
      const slices = slicesOf(key);
      // Nodes matter to external IPs alone, which most Services do not have.
      const around = service.externalIps.length > 0 ? nodes : undefined;
      const inputs = [service, slices, advertise, node.name, EXCLUDED in node.labels, around];
      verdicts.set(
        key,
        this.#services.get(key, inputs, () => judge(service, slices, input)),
      );
    }
    this.#services.sweep();
    return this.#table.set(verdicts);
  }
}

function judge(service: ClusterService, slices: readonly EndpointSlice[], input: AnnouncementInput): Verdict[] {
  const { advertise } = input;
  const { clusterIps, externalIps, loadBalancerIps, externalPolicy, internalPolicy } = service;
  // Nobody of ours serves it.
  if (service.leftTo !== undefined || service.type === "ExternalName") return [];
  const key = serviceKey(service);
  const of = (kind: AnnouncedKind, ips: readonly Ip[], policy: TrafficPolicy) =>
    [...new Set(ips)].map((address): Verdict => {
      const why = refusal(address, kind, input) ?? withoutEndpoint(slices, ipFamily(address), policy, input.node.name);
      return { service: key, kind, address, ...(why === undefined ? {} : { why }) };
    });
  return [
    ...(advertise.clusterIPs ? of("ClusterIP", clusterIps, internalPolicy) : []),
    ...(advertise.externalIPs ? of("ExternalIP", externalIps, externalPolicy) : []),
    ...(advertise.loadBalancerIPs ? of("LoadBalancer", loadBalancerIps, externalPolicy) : []),
  ];
}

/** Why the address must not be announced, whatever endpoints there are. */
function refusal(address: Ip, kind: AnnouncedKind, { node, nodes, advertise }: AnnouncementInput): string | undefined {
  const { within } = advertise;
  if (within === undefined ? kind === "ExternalIP" : !within.some((prefix) => prefixContains(prefix, address))) {
    return "it is outside advertise.within of the BGPConfiguration";
  }
  if (kind === "LoadBalancer" && EXCLUDED in node.labels) return `node ${node.name} has the label ${EXCLUDED}`;
  if (kind !== "ExternalIP") return undefined;
  // Whoever writes a Service chooses these: they must not draw away what nodes and pods have.
  for (const { name, internalIps, externalIps = [], podCidrs } of nodes.values()) {
    if (internalIps.includes(address) || externalIps.includes(address)) return `it is an address of node ${name}`;
    const pods = podCidrs.find((prefix) => prefixContains(prefix, address));
    if (pods !== undefined) return `it is inside ${pods}, where pods of node ${name} have their addresses`;
  }
  return undefined;
}

function withoutEndpoint(
  slices: readonly EndpointSlice[],
  family: Family,
  policy: TrafficPolicy,
  node: string,
): string | undefined {
  const endpoints = slices.flatMap((slice) => (slice.family === family ? slice.endpoints : []));
  if (policy === "Local") {
    if (endpoints.some(({ ready, nodeName }) => ready && nodeName === node)) return undefined;
    return `its traffic policy is Local, and no ready endpoint is on node ${node}`;
  }
  // Endpoints that terminate serve while there are no others (KEP-1669).
  const serves = endpoints.some(({ ready, serving, terminating }) => ready || (serving && terminating));
  return serves ? undefined : "no endpoint serves it";
}
