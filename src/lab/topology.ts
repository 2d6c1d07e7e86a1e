/**
 * The lab's addresses and wires, from its options alone: which node sits in which subnet, with which address, and what
 * lies between them. docs/design/lab.md has the picture.
 */

import type { Ip } from "../model/ip.ts";
import type { RoutingMode } from "../model/node-config.ts";
import type { Prefix } from "../model/prefix.ts";
import type { RouterSoftware } from "./fabric/plan.ts";

export interface LabOptions {
  readonly name: string;
  readonly nodes: number;
  readonly subnets: number;
  /** Nodes go round-robin into zones zone1 … zoneN. Absent: every subnet is a zone. */
  readonly zones?: number;
  /** MTU of every wire, bytes. */
  readonly mtuBytes: number;
  readonly routing: RoutingMode;
  /** What the racks' routers run, round-robin. Absent: no rack has one, and the one router speaks no BGP. */
  readonly fabric?: readonly RouterSoftware[];
  readonly dualStack: boolean;
  /** Agents have --service-proxy with this. */
  readonly serviceProxy?: "ipvs";
  /** Agents have --ipvs-scheduler with this. */
  readonly ipvsScheduler?: string;
  /** Agents have --flowtable. */
  readonly flowtable?: boolean;
  /** The API knows ClusterNetworkPolicies, and agents enforce them. */
  readonly clusterNetworkPolicies?: boolean;
  /** The API knows LoadBalancerPools, and agents give addresses of them. */
  readonly loadBalancer?: boolean;
  /** Agents have --tuning with this: a profile's name, or a file's whole path. */
  readonly tuning?: string;
  /** Agents have --log-denied with this number. */
  readonly logDenied?: number;
  /** Debian's plugins behind ours: "portmap", "bandwidth". */
  readonly cniChain: readonly ("portmap" | "bandwidth")[];
}

export interface LabNode {
  readonly name: string;
  /** 1 … N; the third octet of its pod CIDR. */
  readonly index: number;
  /** 1 … M. */
  readonly subnet: number;
  /** Label topology.kubernetes.io/zone. */
  readonly zone: string;
  /** IPv4 first. */
  readonly addresses: readonly { readonly address: Ip; readonly length: number }[];
  readonly gateways: readonly Ip[];
}

export interface LabSubnet {
  readonly index: number;
  readonly prefixes: readonly Prefix[];
  /** The router's addresses in it. */
  readonly gateways: readonly { readonly address: Ip; readonly length: number }[];
}

export interface Topology {
  readonly options: LabOptions;
  readonly nodes: readonly LabNode[];
  readonly subnets: readonly LabSubnet[];
  readonly clusterCidrs: readonly Prefix[];
  readonly serviceCidrs: readonly Prefix[];
}

/** A host behind the router that is no part of the cluster: what pods see as "the internet". */
export const OUTSIDE = {
  name: "outside",
  addresses: [
    { address: "203.0.113.10", length: 24 },
    { address: "2001:db8:113::10", length: 64 },
  ],
  gateways: [
    { address: "203.0.113.1", length: 24 },
    { address: "2001:db8:113::1", length: 64 },
  ],
} as const;
export const ROUTER = "router";
export const FABRIC = "fabric";

/** Node addresses are 192.168.S.(10 + i); beyond this a /24 is full. */
export const MAX_NODES = 200;
export const MAX_SUBNETS = 99;

export function planTopology(options: LabOptions): Topology {
  const families = options.dualStack ? ([4, 6] as const) : ([4] as const);
  const subnets = range(options.subnets).map((index) => ({
    index,
    prefixes: families.map((family) => (family === 4 ? `192.168.${index}.0/24` : `fd00:192:168:${index}::/64`)),
    gateways: families.map((family) =>
      family === 4
        ? { address: `192.168.${index}.1`, length: 24 }
        : { address: `fd00:192:168:${index}::1`, length: 64 },
    ),
  }));
  const nodes = range(options.nodes).map((index) => {
    const subnet = ((index - 1) % options.subnets) + 1;
    const host = 10 + index;
    return {
      name: `node${index}`,
      index,
      subnet,
      zone: options.zones === undefined ? `subnet${subnet}` : `zone${((index - 1) % options.zones) + 1}`,
      addresses: families.map((family) =>
        family === 4
          ? { address: `192.168.${subnet}.${host}`, length: 24 }
          : { address: `fd00:192:168:${subnet}::${host.toString(16)}`, length: 64 },
      ),
      gateways: families.map((family) => (family === 4 ? `192.168.${subnet}.1` : `fd00:192:168:${subnet}::1`)),
    };
  });
  return {
    options,
    nodes,
    subnets,
    clusterCidrs: options.dualStack ? ["10.244.0.0/16", "fd00:10:244::/48"] : ["10.244.0.0/16"],
    serviceCidrs: options.dualStack ? ["10.96.0.0/16", "fd00:10:96::/112"] : ["10.96.0.0/16"],
  };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}
