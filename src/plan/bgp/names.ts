/** Names and identifiers of a node's BIRD: the same for the same node, whatever else the cluster has. */
import { createHash } from "node:crypto";
import { type Ip, ipFamily, ipFromBytes } from "../../model/ip.ts";

/** SYM_MAX_LEN of BIRD (conf/conf.h) less its final NUL, and a few to spare. */
const LONGEST_NAME = 60;
const HASH_DIGITS = 8;

/**
 * The protocol of a session: "mesh-node2", "peer-tor1". Names of Kubernetes are letters, digits, "-" and ".", all of which
 * BIRD takes between quotes; a long one is cut, and told from its likes by a hash.
 */
export function protocolName(kind: "node" | "peer", name: string): string {
  const whole = `${kind === "node" ? "mesh" : "peer"}-${name}`;
  if (whole.length <= LONGEST_NAME) return whole;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, HASH_DIGITS);
  return `${whole.slice(0, LONGEST_NAME - HASH_DIGITS - 1)}-${hash}`;
}

/**
 * The BGP identifier (RFC 6286: any 32 bits but zero, of its own inside the AS): the node's IPv4 address; where it has
 * none, a hash of its name.
 */
export function routerId(nodeName: string, addresses: readonly Ip[]): Ip {
  const v4 = addresses.find((address) => ipFamily(address) === 4);
  if (v4 !== undefined) return v4;
  const bytes = createHash("sha256").update(`bgp ${nodeName}`).digest().subarray(0, 4);
  // First octet 1 to 127: nobody takes it for zero, multicast or a broadcast.
  return ipFromBytes(Uint8Array.of(((bytes[0] ?? 0) & 0x7f) | 1, bytes[1] ?? 0, bytes[2] ?? 0, bytes[3] ?? 0));
}
