/** What a node says of its BGP: the document behind `breakwater bgp`. */
import type { Family, Ip } from "./ip.ts";
import type { Prefix } from "./prefix.ts";
import type { Problem } from "./state.ts";

/** One family of a session, as BIRD counts. */
export interface BgpChannelReport {
  readonly family: Family;
  readonly up: boolean;
  /** Prefixes that are taken, announced, and those taken that lead somewhere from here. */
  readonly imported: number;
  readonly exported: number;
  readonly preferred: number;
  /** Announcements that the import filter refused, since BIRD runs. */
  readonly refused: number;
  /** Announcements beyond the prefix limit while that is reached; such as said nothing new are counted with them. */
  readonly beyondLimit: number;
  /** The prefix limit is reached: what is beyond is not taken. */
  readonly limitReached: boolean;
  /** So many prefixes came, refused ones among them, that further ones are not looked at. */
  readonly floodStopped: boolean;
}

export interface BgpSessionReport {
  readonly protocol: string;
  readonly kind: "node" | "peer";
  /** Name of the Node or BGPPeer. */
  readonly peer: string;
  readonly address: Ip;
  readonly asNumber: number;
  /** Of RFC 4271, section 8.2.2: Idle, Connect, Active, OpenSent, OpenConfirm, Established; "Unknown" without BIRD. */
  readonly state: string;
  /** Since when, seconds since 1970; null where BIRD does not say. */
  readonly since: number | null;
  readonly channels: readonly BgpChannelReport[];
  readonly lastError: string | null;
}

export interface BgpReport {
  readonly node: string;
  readonly routerId: Ip | null;
  readonly bird: {
    readonly running: boolean;
    readonly version: string | null;
    readonly pid: number | null;
    /** Times that this agent started BIRD anew because it had ended. */
    readonly restarts: number;
  };
  /** Why routing by BGP does not work as a whole; null when it does. */
  readonly failure: string | null;
  /** The node's own prefixes, announced to every peer. */
  readonly announced: readonly Prefix[];
  /** Service addresses that are announced to peers, and which Services ask for it. */
  readonly services: readonly {
    readonly prefix: Prefix;
    readonly reasons: readonly { readonly service: string; readonly kind: string }[];
  }[];
  /** Service addresses that this node does not announce although their kind is announced. */
  readonly withheld: readonly {
    readonly address: Ip;
    readonly service: string;
    readonly kind: string;
    readonly why: string;
  }[];
  readonly sessions: readonly BgpSessionReport[];
  readonly problems: readonly Problem[];
}

/** Prefixes of each session one by one: the document behind `breakwater bgp refused` and `breakwater bgp announced`. */
export interface BgpPrefixReport {
  readonly node: string;
  /** Why BIRD does not say; null when it did. */
  readonly failure: string | null;
  readonly sessions: readonly {
    readonly peer: string;
    readonly kind: "node" | "peer";
    /** All that there are; only the first of very many are listed. */
    readonly count: number;
    /** Sorted by prefix. */
    readonly prefixes: readonly { readonly prefix: Prefix; readonly why: string }[];
  }[];
}
