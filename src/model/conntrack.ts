/**
 * Tracked connections as plain values: what the kernel remembers of a flow in both directions. Whoever takes an endpoint
 * away must delete the entries that still lead to it, or UDP goes on talking to nobody.
 */
import type { Family, Ip } from "./ip.ts";

/** One direction of a flow. Ports are undefined for protocols without them. */
export interface ConntrackTuple {
  readonly source: Ip;
  readonly destination: Ip;
  /** IP protocol number: 6 TCP, 17 UDP, 132 SCTP, 1 ICMP, 58 ICMPv6. */
  readonly protocol: number;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  /** Type, code and identifier of an ICMP or ICMPv6 flow. */
  readonly icmp: { readonly type: number; readonly code: number; readonly id: number } | undefined;
}

export interface ConntrackEntry {
  readonly family: Family;
  /** As the first packet went; what NAT made of it shows in {@link reply}. */
  readonly original: ConntrackTuple;
  /** As answers come. */
  readonly reply: ConntrackTuple;
  /** Tells this entry from a later one with the same tuple. */
  readonly id: number;
  /** IPS_ bits of include/uapi/linux/netfilter/nf_conntrack_common.h. */
  readonly status: number;
  readonly timeoutSeconds: number;
  readonly mark: number;
  readonly zone: number;
}

type Addresses =
  | { readonly source: Ip; readonly destination?: Ip }
  | { readonly source?: Ip; readonly destination: Ip };
interface Transport {
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}
interface NoTransport {
  readonly protocol?: undefined;
  readonly sourcePort?: undefined;
  readonly destinationPort?: undefined;
}

/** Fields that a tuple must have; at least one. Ports only together with a protocol. */
export type TupleFilter =
  | (Addresses & (Transport | NoTransport))
  | (Transport & { readonly source?: Ip; readonly destination?: Ip });

/** Which entries of a family are meant. There is no filter for all of them: nothing here can empty the table. */
export type ConntrackFilter = { readonly family: Family } & (
  | { readonly original: TupleFilter; readonly reply?: TupleFilter }
  | { readonly original?: TupleFilter; readonly reply: TupleFilter }
);

export function formatConntrackTuple(tuple: ConntrackTuple): string {
  const { source, destination, protocol, sourcePort, destinationPort, icmp } = tuple;
  const ports = sourcePort === undefined ? "" : ` sport ${sourcePort} dport ${destinationPort}`;
  const echo = icmp === undefined ? "" : ` type ${icmp.type} code ${icmp.code} id ${icmp.id}`;
  return `protocol ${protocol} ${source} -> ${destination}${ports}${echo}`;
}
