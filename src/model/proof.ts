/**
 * What is known about the size of packets that a path to a peer really carries. Sizes are whole IP packets, header
 * included, bytes. The search follows RFC 8899 (Datagram PLPMTUD): only what a peer acknowledged proves a size.
 */
import type { Family, Ip } from "./ip.ts";

/** The nodes' own network, or inside the VXLAN. */
export type Layer = "underlay" | "overlay";

/** One thing to be proved: packets of a size to an address of a peer. A path to a peer has one to four of them. */
export interface ProbeTarget {
  readonly peer: string;
  readonly layer: Layer;
  readonly family: Family;
  readonly address: Ip;
  /** The planned size, which is tried first. */
  readonly bytes: number;
  /** What the path to the pods adds to a packet beyond this layer: VXLAN on the underlay, otherwise 0. */
  readonly overheadBytes: number;
}

/**
 * - `unproven`: no search has ended yet.
 * - `passes`: the planned size arrives.
 * - `local`: the kernel of this node refuses the size (EMSGSIZE): our own interface, not the network.
 * - `too-big`: a router answered ICMP "too big" that quoted our own probe.
 * - `black-hole`: silence above a size while smaller ones arrive.
 * - `unreachable`: the network or this kernel says that there is no way to the peer.
 * - `unknown`: no probe is answered: the peer's agent is down, or a firewall is between.
 */
export type Verdict = "unproven" | "passes" | "local" | "too-big" | "black-hole" | "unreachable" | "unknown";

/** An ICMP type 3 code 4 (RFC 1191) or ICMPv6 type 2 (RFC 4443) that quoted one of our probes. */
export interface TooBig {
  readonly from: Ip;
  readonly mtuBytes: number;
}

/** How a search ended. */
export interface Finding {
  readonly verdict: Exclude<Verdict, "unproven">;
  /** The largest size that arrived; undefined when none did. */
  readonly provenBytes: number | undefined;
  readonly tooBig?: TooBig;
  /** Errno or ICMP text behind `unreachable` and `unknown`. */
  readonly reason?: string;
}

/** What became of a round of probes to one target. */
export interface RoundResult {
  /** Sizes that were acknowledged. */
  readonly passed: readonly number[];
  /** Sizes that this kernel refused with EMSGSIZE. */
  readonly refusedLocally: readonly number[];
  readonly tooBig?: TooBig;
  /** The peer's kernel said that nobody listens (ICMP port unreachable). */
  readonly nobodyListens: boolean;
  /** Errno name or ICMP meaning that says there is no way. */
  readonly noWay?: string;
}

/** What holds for a target until the next search says otherwise. */
export interface ProofState {
  readonly verdict: Verdict;
  /** The size that plans may use; undefined until one was proven. */
  readonly inForceBytes: number | undefined;
  readonly tooBig?: TooBig;
  /** Looks since a router last answered for the size in force. */
  readonly withoutIcmp?: number;
  readonly reason?: string;
  /** When the verdict or the size in force last changed; milliseconds of a clock that never goes back. */
  readonly sinceMs: number;
  /** When a search last ended. */
  readonly checkedMs: number | undefined;
  /** A larger size that passes, but not for long enough yet. */
  readonly raise?: { readonly bytes: number; readonly sinceMs: number };
  /** When the size in force was lowered, newest last: paths that flap are raised later and later. */
  readonly loweredMs: readonly number[];
}
