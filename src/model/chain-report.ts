/**
 * The way of a change from a disk to a node's kernel, as links of one chain: whoever is slow makes all behind him late.
 *
 *   disk ─▶ etcd ─▶ API ─▶ watch ─▶ plan ─▶ kernel
 */

export const CHAIN_STAGES = ["disk", "etcd", "api", "watch", "plan", "kernel"] as const;
export type ChainStage = (typeof CHAIN_STAGES)[number];

/** fine, slow: measured. failed: it could not be asked. unmeasured: nobody asked. */
export type ChainVerdict = "fine" | "slow" | "failed" | "unmeasured";

export interface ChainLink {
  readonly stage: ChainStage;
  /** "fdatasync of /var/lib/etcd". */
  readonly what: string;
  readonly verdict: ChainVerdict;
  readonly samples: number | null;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly p999Ms: number | null;
  /** A p99 above this is slow; null where there is no limit. */
  readonly limitMs: number | null;
  /** Whose limit it is. */
  readonly source: string | null;
  /** What else was found: leader changes, why it failed. */
  readonly notes: readonly string[];
  readonly remedy: string | null;
}

export interface ChainReport {
  readonly links: readonly ChainLink[];
  /** The first slow or failed stage; null: all that was measured is fine. */
  readonly cause: ChainStage | null;
  readonly summary: string;
}
