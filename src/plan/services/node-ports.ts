/** What of a node Services depend on: its zone, its addresses, where its NodePorts answer. */
import type { ClusterNode } from "../../model/cluster.ts";
import { type Ip, ipFamily } from "../../model/ip.ts";
import type { ServiceConfig } from "../../model/node-config.ts";
import { prefixContains } from "../../model/prefix.ts";
import type { ServiceContext } from "./frontends.ts";

const ZONE_LABEL = "topology.kubernetes.io/zone";

/**
 * @param addresses all that the node's devices have, without those of Services
 * @param nodes all of the cluster
 */
export function serviceContext(
  node: ClusterNode,
  addresses: readonly Ip[],
  config: ServiceConfig,
  nodes: Iterable<ClusterNode> = [],
): ServiceContext {
  return {
    name: node.name,
    zone: node.labels[ZONE_LABEL],
    addresses,
    nodePortAddresses: nodePortAddresses(config, addresses, node.internalIps),
    podCidrs: node.podCidrs,
    ...(config.ipvs === undefined ? {} : { ipvs: { elsewhere: addressesElsewhere(node, nodes) } }),
  };
}

function addressesElsewhere(own: ClusterNode, nodes: Iterable<ClusterNode>): Ip[] {
  const elsewhere = new Set<Ip>();
  for (const { name, internalIps, externalIps = [] } of nodes) {
    if (name !== own.name) for (const ip of [...internalIps, ...externalIps]) elsewhere.add(ip);
  }
  return [...elsewhere].sort();
}

/** Its InternalIPs that it has, or those of its addresses that the operator chose. Sorted by the caller's order. */
export function nodePortAddresses(config: ServiceConfig, addresses: readonly Ip[], internalIps: readonly Ip[]): Ip[] {
  if (config.nodePortAddresses.length === 0) return internalIps.filter((ip) => addresses.includes(ip));
  const chosen = (ip: Ip) =>
    config.nodePortAddresses.some((prefix) => ipFamily(prefix) === ipFamily(ip) && prefixContains(prefix, ip));
  return addresses.filter((ip) => chosen(ip) && !isLoopback(ip) && !isLinkLocal(ip)).sort();
}

/** A packet from there cannot leave the node: docs/adr/0008-services-in-nftables.md. */
function isLoopback(ip: Ip): boolean {
  return ip === "::1" || prefixContains("127.0.0.0/8", ip);
}

function isLinkLocal(ip: Ip): boolean {
  return ip.includes(":") && prefixContains("fe80::/10", ip);
}
