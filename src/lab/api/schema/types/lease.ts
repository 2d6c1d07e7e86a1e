/**
 * Lease: leader election and node heartbeats.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const LEASE_TYPES: TypePackage = {
  prefix: "io.k8s.api.coordination.v1",
  types: `
Lease apiVersion:string kind:string metadata#1:ObjectMeta spec#2:LeaseSpec
LeaseSpec acquireTime#3:microtime holderIdentity#1:string leaseDurationSeconds#2:int leaseTransitions#5:int
  preferredHolder#7:string renewTime#4:microtime strategy#6:string
`,
};
