/** Objects of the API about BGP, as far as they could be read: what is wanted, and what of it nobody understands. */
import type { BgpClusterConfig, BgpPeerSpec } from "./bgp.ts";

/** The one BGPConfiguration that counts. */
export const BGP_CONFIGURATION_NAME = "default";

/** Type of the condition that says whether all of an object is understood. */
export const BGP_UNDERSTOOD = "Understood";

interface BgpObject {
  /** metadata.name. */
  readonly name: string;
  readonly uid: string;
  /** metadata.generation: which version of the object a status speaks of. */
  readonly generation: number;
  /** What of the object could not be used, a sentence each. */
  readonly problems?: readonly string[];
  /** What its status says of {@link BGP_UNDERSTOOD} now. */
  readonly understood?: {
    readonly status: string;
    readonly message: string;
    readonly observedGeneration: number;
    readonly lastTransitionTime: string;
  };
}

export interface BgpPeerObject extends BgpObject {
  /** Absent: with what is wrong no session is safe. */
  readonly spec?: BgpPeerSpec;
  /** Nodes that have an entry in its status; absent: none. */
  readonly reporters?: readonly string[];
}

export interface BgpConfigurationObject extends BgpObject {
  /** Absent: it cannot be used, or is not the one that counts. */
  readonly config?: BgpClusterConfig;
}

/** A password, or why there is none. */
export type BgpPassword = { readonly password: string } | { readonly why: string };
