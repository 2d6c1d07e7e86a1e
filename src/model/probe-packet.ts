/**
 * Probes and their acknowledgements on the wire: the payload of UDP datagrams between agents.
 *
 * ```
 *  0 "BWMP"   4 version   5 kind (1 probe, 2 acknowledgement)   6 flags   7 number of nonces
 *  8 a probe: nonce (8), size of the whole IP packet (2), zeros up to that size
 *    an acknowledgement: the nonces of the probes that arrived
 * ```
 *
 * The nonce is drawn at random for each packet. Nobody can acknowledge a probe, or answer ICMP for it, without having
 * seen it (RFC 8899, section 4.6.1 and 9).
 */
import type { Family } from "./ip.ts";

/** IP and UDP headers in front of the payload, bytes. */
export const PROBE_HEADER_BYTES: Record<Family, number> = { 4: 28, 6: 48 };
const MAGIC = 0x42574d50;
const VERSION = 1;
const PROBE = 1;
const ACKNOWLEDGEMENT = 2;
const NONCE_BYTES = 8;
const FIXED_BYTES = 8;
const SIZE_AT = FIXED_BYTES + NONCE_BYTES;
const PROBE_BYTES = SIZE_AT + 2;
/** Nonces an acknowledgement carries at most: as many as a peer has targets, and each size of a round. */
const MOST_NONCES = 64;

export interface ProbePacket {
  readonly kind: "probe";
  /** 16 hexadecimal digits. */
  readonly nonce: string;
  /** Size of the IP packet as it was sent, bytes. */
  readonly bytes: number;
  /** More probes of the same look follow at once: one acknowledgement for all of them will do. */
  readonly together: boolean;
  /** The sender's path carries less than planned: look at yours. */
  readonly suspect: boolean;
}

export interface AcknowledgementPacket {
  readonly kind: "acknowledgement";
  readonly nonces: readonly string[];
}

const TOGETHER = 1;
const SUSPECT = 2;

export function encodeProbe(probe: Omit<ProbePacket, "kind">, family: Family): Buffer {
  const payload = Buffer.alloc(Math.max(PROBE_BYTES, probe.bytes - PROBE_HEADER_BYTES[family]));
  writeHeader(payload, PROBE, (probe.together ? TOGETHER : 0) | (probe.suspect ? SUSPECT : 0), 1);
  payload.write(probe.nonce, FIXED_BYTES, "hex");
  payload.writeUInt16BE(probe.bytes, SIZE_AT);
  return payload;
}

export function encodeAcknowledgement(nonces: readonly string[]): Buffer {
  const some = nonces.slice(0, MOST_NONCES);
  const payload = Buffer.alloc(FIXED_BYTES + some.length * NONCE_BYTES);
  writeHeader(payload, ACKNOWLEDGEMENT, 0, some.length);
  for (const [i, nonce] of some.entries()) payload.write(nonce, FIXED_BYTES + i * NONCE_BYTES, "hex");
  return payload;
}

function writeHeader(payload: Buffer, kind: number, flags: number, nonces: number): void {
  payload.writeUInt32BE(MAGIC, 0);
  payload.set([VERSION, kind, flags, nonces], 4);
}

/** Undefined for everything that is not whole and ours. */
export function decodeProbePacket(payload: Buffer, family: Family): ProbePacket | AcknowledgementPacket | undefined {
  if (payload.length < FIXED_BYTES || payload.readUInt32BE(0) !== MAGIC || payload[4] !== VERSION) return undefined;
  const [kind, flags, count] = [payload[5], payload[6] ?? 0, payload[7] ?? 0];
  if (kind === ACKNOWLEDGEMENT) return decodeAcknowledgement(payload, count);
  if (kind !== PROBE || payload.length < PROBE_BYTES) return undefined;
  const bytes = payload.readUInt16BE(SIZE_AT);
  if (payload.length !== Math.max(PROBE_BYTES, bytes - PROBE_HEADER_BYTES[family])) return undefined;
  const nonce = nonceAt(payload, 0);
  return { kind: "probe", nonce, bytes, together: (flags & TOGETHER) !== 0, suspect: (flags & SUSPECT) !== 0 };
}

function decodeAcknowledgement(payload: Buffer, count: number): AcknowledgementPacket | undefined {
  if (count > MOST_NONCES || payload.length !== FIXED_BYTES + count * NONCE_BYTES) return undefined;
  return { kind: "acknowledgement", nonces: Array.from({ length: count }, (_, i) => nonceAt(payload, i)) };
}

/**
 * The nonce of one of our probes in what an ICMP message quotes of it; undefined when it quotes too little (RFC 792 asks
 * for 8 bytes behind the IP header, RFC 1812 for as much as fits) or something else.
 */
export function quotedNonce(quoted: Buffer): string | undefined {
  if (quoted.length < SIZE_AT || quoted.readUInt32BE(0) !== MAGIC || quoted[5] !== PROBE) return undefined;
  return nonceAt(quoted, 0);
}

function nonceAt(payload: Buffer, i: number): string {
  const at = FIXED_BYTES + i * NONCE_BYTES;
  return payload.toString("hex", at, at + NONCE_BYTES);
}
