/** A packet that policies denied, in words: who sent it to whom, and which policies admit none such. */
import type { LoggedPacket } from "../../kernel/nflog/types.ts";
import type { PacketHeaders } from "../../model/packet-headers.ts";
import type { PolicyDirection } from "../../model/policy.ts";
import { type AddressNames, formatOwner } from "./address-names.ts";

/** Fields of a log line. */
export interface DeniedPacket {
  readonly direction: PolicyDirection;
  /** Whose policies denied it. */
  readonly pod: string;
  /** All that select the pod in this direction; none of them admits the packet. */
  readonly policies: readonly string[];
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly port?: number;
  readonly sourcePort?: number;
}

/** Chains that deny are named by their direction: "ingress-denied-…". */
export function directionOf(chain: string): PolicyDirection {
  return chain.startsWith("ingress") ? "ingress" : "egress";
}

/** @returns undefined for what is no IP packet */
export function describeDenied(
  { prefix, headers }: LoggedPacket,
  denials: ReadonlyMap<string, readonly string[]>,
  names: Pick<AddressNames, "ownerOf">,
): DeniedPacket | undefined {
  if (headers === undefined) return undefined;
  const direction = directionOf(prefix);
  const { source, destination, destinationPort: port, sourcePort } = headers;
  const from = formatOwner(names.ownerOf(source), source);
  const to = formatOwner(names.ownerOf(destination), destination);
  return {
    direction,
    pod: direction === "ingress" ? to : from,
    policies: denials.get(prefix) ?? [],
    from,
    to,
    protocol: protocolName(headers),
    ...(port === undefined ? {} : { port }),
    ...(sourcePort === undefined ? {} : { sourcePort }),
  };
}

const PROTOCOLS: Readonly<Record<number, string>> = { 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP" };

function protocolName({ protocol, icmp }: PacketHeaders): string {
  if (protocol === undefined) return "unknown protocol";
  const name = PROTOCOLS[protocol] ?? `protocol ${protocol}`;
  return icmp === undefined ? name : `${name} type ${icmp.type} code ${icmp.code}`;
}

/** "denied: default/web -> db/postgres:5432/TCP, ingress of db/postgres, by db/deny-all". */
export function formatDenied({ direction, pod, policies, from, to, protocol, port }: DeniedPacket): string {
  const what = port === undefined ? `${to} ${protocol}` : `${to}:${port}/${protocol}`;
  // Between the packet and its line the policies may have changed.
  const by = policies.length === 0 ? "policies that are gone" : policies.join(", ");
  return `denied: ${from} -> ${what}, ${direction} of ${pod}, by ${by}`;
}
