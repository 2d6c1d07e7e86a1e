/** What `breakwater policy status` prints: what a node enforces, and what it denied. */
import type { PolicyDirection } from "./policy.ts";

export interface PoliciesReport {
  readonly node: string;
  /** Why the kernel does not have the policies as the API has them; null when it does. */
  readonly failure: string | null;
  /** Most lines a second that tell of denied packets; null: none are written. */
  readonly logDeniedPerSecond: number | null;
  readonly policies: readonly PolicyReport[];
  /** Sets of policies that together select pods of this node, and what none of them admits. */
  readonly denials: readonly DenialReport[];
}

export interface PolicyReport {
  /** `namespace/name`. */
  readonly policy: string;
  /** What of it was not understood, and admits nothing; a sentence each. */
  readonly problems: readonly string[];
  /** Since the agent started; null where it selects no pod of this node in this direction, and did not since then. */
  readonly denied: Readonly<Record<PolicyDirection, DeniedReport | null>>;
}

export interface DenialReport extends DeniedReport {
  readonly direction: PolicyDirection;
  /** Each `namespace/name`. */
  readonly policies: readonly string[];
}

export interface DeniedReport {
  readonly packets: number;
  readonly bytes: number;
}
