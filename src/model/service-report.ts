/** What `breakwater services` prints: how a node serves the cluster's Services. */
import type { ServiceConfig } from "./node-config.ts";

export interface ServicesReport {
  readonly node: string;
  /** Why the kernel is not up to date; null when it is. */
  readonly failure: string | null;
  /** What the agent was told of Services. */
  readonly config: ServiceConfig;
  readonly services: readonly ServiceReport[];
}

export interface ServiceReport {
  /** `namespace/name`. */
  readonly service: string;
  readonly type: string;
  /** Why no frontend is made for it; null where one is. */
  readonly notServed: string | null;
  readonly frontends: readonly FrontendReport[];
  /** Frontends that an older Service has. */
  readonly conflicts: readonly { readonly frontend: string; readonly winner: string }[];
}

export interface FrontendReport {
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
  readonly kind: string;
  readonly portName: string;
  readonly endpoints: readonly string[];
  /** What traffic from outside gets under externalTrafficPolicy Local; null where that is no matter. */
  readonly outside: readonly string[] | null;
  /** What traffic gets that finds no endpoint. */
  readonly otherwise: "reject" | "drop" | null;
  readonly affinitySeconds: number | null;
  readonly sourceRanges: readonly string[] | null;
  /** New connections so far; null where they are not counted. */
  readonly connections: number | null;
}

/** One element in which the kernel and the API differ. What one side does not have is null. */
export interface ServiceDifference {
  /** `ip breakwater services`. */
  readonly set: string;
  /** `namespace/name:port`, or null where no Service has it. */
  readonly service: string | null;
  readonly api: string | null;
  readonly kernel: string | null;
}

export interface Verification {
  readonly services: number;
  readonly frontends: number;
  /** Elements of the kernel's maps and sets that were compared. */
  readonly elements: number;
  /** They are repaired when they are reported. */
  readonly differences: readonly ServiceDifference[];
}

/** What `breakwater services verify` prints. */
export interface VerificationReport extends Verification {
  readonly node: string;
  /** Why nothing could be compared; null when it was. */
  readonly failure: string | null;
}
