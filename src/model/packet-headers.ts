/**
 * What the first bytes of an IP packet say of it: who, to whom, what. For telling people of packets; rules that decide
 * about them are the kernel's. Packets may be cut anywhere, and lie about their lengths.
 */
import { type Family, type Ip, ipFromBytes } from "./ip.ts";

export interface PacketHeaders {
  readonly family: Family;
  readonly source: Ip;
  readonly destination: Ip;
  /** IANA's number of what is in it; undefined where the bytes end before. */
  readonly protocol?: number;
  /** Of TCP, UDP and SCTP; a fragment behind the first one has none. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Of ICMP and ICMPv6. */
  readonly icmp?: { readonly type: number; readonly code: number };
}

const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const TCP = 6;
const UDP = 17;
const SCTP = 132;
const ICMP = 1;
const ICMPV6 = 58;

/** IANA's "IPv6 Extension Header Types" that say how long they are by RFC 6564. */
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;

/** @returns undefined for what is no IPv4 or IPv6 packet, or ends inside of its addresses */
export function parsePacketHeaders(packet: Uint8Array): PacketHeaders | undefined {
  const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4) return parseIpv4(bytes);
  return version === 6 ? parseIpv6(bytes) : undefined;
}

/** RFC 791, section 3.1. */
function parseIpv4(bytes: Buffer): PacketHeaders | undefined {
  const headerBytes = ((bytes[0] ?? 0) & 0x0f) * 4;
  if (bytes.length < IPV4_HEADER_BYTES || headerBytes < IPV4_HEADER_BYTES) return undefined;
  const protocol = bytes.readUInt8(9);
  const isFirst = (bytes.readUInt16BE(6) & 0x1fff) === 0;
  return {
    family: 4,
    source: ipFromBytes(bytes.subarray(12, 16)),
    destination: ipFromBytes(bytes.subarray(16, 20)),
    protocol,
    ...(isFirst ? transport(protocol, bytes.subarray(headerBytes)) : {}),
  };
}

/** RFC 8200, section 3. */
function parseIpv6(bytes: Buffer): PacketHeaders | undefined {
  if (bytes.length < IPV6_HEADER_BYTES) return undefined;
  return {
    family: 6,
    source: ipFromBytes(bytes.subarray(8, 24)),
    destination: ipFromBytes(bytes.subarray(24, 40)),
    ...behindExtensions(bytes.readUInt8(6), bytes.subarray(IPV6_HEADER_BYTES)),
  };
}

function behindExtensions(first: number, headers: Buffer): Partial<PacketHeaders> {
  let [next, rest] = [first, headers];
  while (isExtension(next)) {
    if (rest.length < 8) return {};
    const inner = rest.readUInt8(0);
    // Behind another fragment than the first one is the middle of something.
    if (next === FRAGMENT && (rest.readUInt16BE(2) & 0xfff8) !== 0)
      return isExtension(inner) ? {} : { protocol: inner };
    const size = extensionBytes(next, rest.readUInt8(1));
    [next, rest] = [inner, rest.subarray(size)];
  }
  return { protocol: next, ...transport(next, rest) };
}

function isExtension(next: number): boolean {
  return [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS].includes(next);
}

/** RFC 8200, sections 4.3 to 4.6 (units of 8 bytes beyond the first) and RFC 4302, section 2.2 (of 4, beyond two). */
function extensionBytes(type: number, length: number): number {
  if (type === FRAGMENT) return 8;
  return type === AUTHENTICATION ? (length + 2) * 4 : (length + 1) * 8;
}

function transport(protocol: number, bytes: Buffer): Partial<PacketHeaders> {
  if ([TCP, UDP, SCTP].includes(protocol) && bytes.length >= 4) {
    return { sourcePort: bytes.readUInt16BE(0), destinationPort: bytes.readUInt16BE(2) };
  }
  if ((protocol === ICMP || protocol === ICMPV6) && bytes.length >= 2) {
    return { icmp: { type: bytes.readUInt8(0), code: bytes.readUInt8(1) } };
  }
  return {};
}
