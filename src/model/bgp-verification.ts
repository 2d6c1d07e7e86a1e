/** Whether the API, BIRD and the kernel tell the same of a node's routes: the document behind `breakwater bgp verify`. */
import type { Prefix } from "./prefix.ts";

/** A prefix on which they differ: what each says of it, null where it does not know it. */
export interface BgpDifference {
  readonly prefix: Prefix;
  /** "Node node2". */
  readonly api: string | null;
  /** "via 192.168.1.12", "unreachable". */
  readonly bird: string | null;
  readonly kernel: string | null;
}

export interface BgpVerification {
  readonly node: string;
  /** Why they cannot be compared; null when they were. */
  readonly failure: string | null;
  /** How many prefixes BIRD gives the kernel. */
  readonly prefixes: number;
  /** Sorted by prefix. */
  readonly differences: readonly BgpDifference[];
}
