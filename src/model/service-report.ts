/** What `breakwater services` prints: how a node serves the cluster's Services. */

export interface ServicesReport {
  readonly node: string;
  /** Why the kernel is not up to date; null when it is. */
  readonly failure: string | null;
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
