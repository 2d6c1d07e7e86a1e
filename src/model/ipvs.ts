/**
 * Virtual servers of the kernel's IPVS as values: what a plan wants, what the kernel has, and the steps in between.
 * Numbers are those of include/uapi/linux/ip_vs.h.
 */
import { type Family, type Ip, ipFamily } from "./ip.ts";

/** Schedulers of the kernel: `modprobe ip_vs_NAME`. */
export const IPVS_SCHEDULERS = [
  "rr",
  "wrr",
  "lc",
  "wlc",
  "lblc",
  "lblcr",
  "dh",
  "sh",
  "mh",
  "sed",
  "nq",
  "fo",
  "ovf",
  "twos",
] as const;
export type IpvsScheduler = (typeof IPVS_SCHEDULERS)[number];

/** IP_VS_SVC_F_PERSISTENT: a client keeps its destination. */
export const IPVS_PERSISTENT = 0x0001;
/** IP_VS_SVC_F_SCHED_SH_FALLBACK, ..._MH_FALLBACK: where the hash leads to weight 0, another destination is taken. */
export const IPVS_FALLBACK = 0x0008;
/** IP_VS_SVC_F_SCHED3, which no scheduler looks at: it marks our virtual servers. ipvsadm prints `flag-3`. */
export const IPVS_MARK = 0x0020;
/** Bits that the kernel sets for itself: IP_VS_SVC_F_HASHED. */
export const IPVS_KERNEL_FLAGS = 0x0002;

export interface IpvsServer {
  /** The frontend's key: `10.96.0.1 . tcp . 80`. */
  readonly key: string;
  readonly scheduler: string;
  /** IP_VS_SVC_F_ bits without the kernel's own. */
  readonly flags: number;
  /** How long a client keeps its destination, seconds; 0 without persistence. */
  readonly timeoutSeconds: number;
}

export interface IpvsDestination {
  /** `10.244.1.5 . 8080` */
  readonly endpoint: string;
  /** 0: no new connections, those that are there go on. */
  readonly weight: number;
}

export interface ObservedDestination extends IpvsDestination {
  /** Active and inactive ones: a TCP connection is inactive for two minutes behind its end. */
  readonly connections: number;
}

/** A virtual server that the kernel has. */
export interface ObservedServer {
  readonly server: IpvsServer;
  /** Weights by endpoint. */
  readonly destinations: ReadonlyMap<string, number>;
}

export type IpvsChange =
  | { readonly do: "addServer" | "changeServer"; readonly server: IpvsServer }
  | { readonly do: "deleteServer"; readonly key: string }
  | {
      readonly do: "addDestination" | "changeDestination" | "deleteDestination";
      readonly key: string;
      readonly destination: IpvsDestination;
    };

export interface FrontendAddress {
  readonly family: Family;
  readonly address: Ip;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
}

/** The parts of a frontend's key. */
export function parseFrontendKey(key: string): FrontendAddress {
  const [address = "", protocol, port] = key.split(" . ");
  return { family: ipFamily(address), address, protocol: protocol as "tcp", port: Number(port) };
}

/** "TCP 10.96.0.1:80", "TCP [fd00::1]:80" */
export function formatServerKey(key: string): string {
  const { protocol, address, port } = parseFrontendKey(key);
  return `${protocol.toUpperCase()} ${at(address, port)}`;
}

function formatEndpoint(endpoint: string): string {
  const [address = "", port] = endpoint.split(" . ");
  return at(address, Number(port));
}

function at(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** "rr", "rr persistent 10800": all of a server but its address. */
export function formatServerManner({ scheduler, flags, timeoutSeconds }: IpvsServer): string {
  const isPersistent = (flags & IPVS_PERSISTENT) !== 0;
  return isPersistent ? `${scheduler} persistent ${timeoutSeconds}` : scheduler;
}

/** "add destination 10.244.1.5:8080 weight 1 to virtual server TCP 10.96.0.1:80" */
export function formatIpvsChange(change: IpvsChange): string {
  switch (change.do) {
    case "addServer":
      return `add virtual server ${formatServerKey(change.server.key)} ${formatServerManner(change.server)}`;
    case "changeServer":
      return `change virtual server ${formatServerKey(change.server.key)} to ${formatServerManner(change.server)}`;
    case "deleteServer":
      return `delete virtual server ${formatServerKey(change.key)}`;
    case "addDestination":
      return `add destination ${formatEndpoint(change.destination.endpoint)} weight ${change.destination.weight} to virtual server ${formatServerKey(change.key)}`;
    case "changeDestination":
      return `set weight ${change.destination.weight} of destination ${formatEndpoint(change.destination.endpoint)} of virtual server ${formatServerKey(change.key)}`;
    case "deleteDestination":
      return `delete destination ${formatEndpoint(change.destination.endpoint)} from virtual server ${formatServerKey(change.key)}`;
  }
}
