/**
 * A packet on its way through a node, as the rules of nftables see it: header fields, devices, and what connection
 * tracking knows of its flow. A field that the packet does not have is an error of the rule that reads it, not a guess.
 */
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import type { NftField } from "../../model/nft.ts";

/** Numbers of IANA's registry of protocols. */
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;
/** NFPROTO_IPV4 and NFPROTO_IPV6 of include/uapi/linux/netfilter.h. */
const NFPROTO = { 4: 2, 6: 10 } as const;

export type PacketProtocol = keyof typeof PROTOCOLS;
export type FlowState = "new" | "established" | "related" | "invalid" | "untracked";

export interface Tuple {
  readonly source: Ip;
  readonly sourcePort: number;
  readonly destination: Ip;
  readonly destinationPort: number;
}

/** A flow as connection tracking has it: how its first packet came, and how its answers come. */
export interface Flow {
  readonly original: Tuple;
  readonly reply: Tuple;
}

export interface Packet {
  readonly source: Ip;
  readonly destination: Ip;
  /** @default "tcp" */
  readonly protocol?: PacketProtocol;
  /** @default 40000 */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
  /** Device by which it comes in; absent: this node sends it. */
  readonly from?: string;
  /** @default "new", of a packet with a flow "established" */
  readonly state?: FlowState;
  /** The flow that it belongs to, in either direction. */
  readonly flow?: Flow;
  readonly lengthBytes?: number;
  /** @default 0 */
  readonly mark?: number;
  /** Of TCP: the segment opens a connection. @default true: a packet here stands for a flow's first one */
  readonly isSyn?: boolean;
  /** A packet of the same flow passed this node before. @default true of established ones */
  readonly isConfirmed?: boolean;
}

const SOURCE_PORT = 40_000;

/** The packet where it is now: translations and routing change it. */
export class TracedPacket implements Tuple {
  readonly #packet: Packet;
  readonly family: Family;
  readonly protocol: PacketProtocol;
  readonly state: FlowState;
  readonly original: Tuple;
  /** Words of `ct status`. */
  readonly status = new Set<"confirmed" | "dnat" | "snat">();
  source: Ip;
  sourcePort: number;
  destination: Ip;
  destinationPort: number;
  iif = "";
  oif = "";

  constructor(packet: Packet) {
    this.#packet = packet;
    this.family = ipFamily(packet.destination);
    if (ipFamily(packet.source) !== this.family) throw new RangeError("A packet has addresses of one family");
    this.protocol = packet.protocol ?? "tcp";
    this.state = packet.state ?? (packet.flow === undefined ? "new" : "established");
    this.source = packet.source;
    this.destination = packet.destination;
    this.sourcePort = packet.sourcePort ?? SOURCE_PORT;
    this.destinationPort = packet.destinationPort ?? 0;
    this.iif = packet.from ?? "";
    this.original = packet.flow?.original ?? tupleOf(this);
    if (packet.isConfirmed ?? this.state === "established") this.status.add("confirmed");
    if (packet.flow === undefined) return;
    const { original, reply } = packet.flow;
    if (reply.source !== original.destination || reply.sourcePort !== original.destinationPort) this.status.add("dnat");
    if (reply.destination !== original.source || reply.destinationPort !== original.sourcePort) this.status.add("snat");
  }

  get isSyn(): boolean {
    return this.#packet.isSyn ?? true;
  }

  get flow(): Flow | undefined {
    return this.#packet.flow;
  }

  /** A field's value as rules compare it: numbers for numeric fields. @throws TypeError for a field it does not have */
  read(field: NftField): string | number {
    const value = this.#header(field) ?? this.#tracking(field) ?? this.#meta(field);
    if (value === undefined) {
      throw new TypeError(`A rule reads "${field}" of a packet that has none: ${formatPacket(this)}`);
    }
    return value;
  }

  /** The same as it is written in the key of a set. */
  readKey(field: NftField): string {
    const value = this.read(field);
    if (field !== "meta l4proto" && field !== "ip protocol") return String(value);
    return this.protocol;
  }

  #header(field: NftField): string | number | undefined {
    const { icmp } = this.#packet;
    const isV4 = this.family === 4;
    switch (field) {
      case "ip saddr":
        return isV4 ? this.source : undefined;
      case "ip daddr":
        return isV4 ? this.destination : undefined;
      case "ip6 saddr":
        return isV4 ? undefined : this.source;
      case "ip6 daddr":
        return isV4 ? undefined : this.destination;
      case "ip protocol":
        return isV4 ? PROTOCOLS[this.protocol] : undefined;
      // Rules read bytes of the transport's header, whatever protocol it is of.
      case "th sport":
        return icmp === undefined ? this.sourcePort : icmp.type * 256 + icmp.code;
      case "th dport":
        return icmp === undefined ? this.destinationPort : 0;
      case "icmp type":
      case "icmpv6 type":
        return icmp?.type;
      case "icmp code":
        return icmp?.code;
      default:
        return undefined;
    }
  }

  #tracking(field: NftField): string | number | undefined {
    switch (field) {
      case "ct state":
        return this.state;
      case "ct original ip daddr":
        return this.family === 4 ? this.original.destination : undefined;
      case "ct original ip6 daddr":
        return this.family === 6 ? this.original.destination : undefined;
      case "ct original proto-dst":
        return this.original.destinationPort;
      default:
        return undefined;
    }
  }

  #meta(field: NftField): string | number | undefined {
    switch (field) {
      case "meta l4proto":
        return PROTOCOLS[this.protocol];
      case "meta nfproto":
        return NFPROTO[this.family];
      case "meta iifname":
        return this.iif;
      case "meta oifname":
        return this.oif;
      case "meta length":
        return this.#packet.lengthBytes;
      case "meta mark":
        return this.#packet.mark ?? 0;
      default:
        return undefined;
    }
  }
}

export function tupleOf({ source, sourcePort, destination, destinationPort }: Tuple): Tuple {
  return { source, sourcePort, destination, destinationPort };
}

export function sameTuple(a: Tuple, b: Tuple): boolean {
  return (
    a.source === b.source &&
    a.sourcePort === b.sourcePort &&
    a.destination === b.destination &&
    a.destinationPort === b.destinationPort
  );
}

export function formatPacket(packet: Tuple & { readonly protocol: PacketProtocol }): string {
  const { protocol, source, sourcePort, destination, destinationPort } = packet;
  return `${protocol} ${endpointText(source, sourcePort)} -> ${endpointText(destination, destinationPort)}`;
}

/** "10.244.1.5:8080", "[fd00::5]:8080". */
export function endpointText(ip: Ip, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}
