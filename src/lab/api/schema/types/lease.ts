/**
 * Lease: leader election and node heartbeats.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const LEASE_TYPES: TypePackage = {
  prefix: "io.k8s.api.coordination.v1",
  types: `
Lease apiVersion:string kind:string metadata:ObjectMeta spec:LeaseSpec
LeaseSpec acquireTime:microtime holderIdentity:string leaseDurationSeconds:int leaseTransitions:int
  preferredHolder:string renewTime:microtime strategy:string
`,
};
