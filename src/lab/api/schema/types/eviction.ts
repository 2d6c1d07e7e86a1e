/**
 * Eviction: how kubectl drain asks for a Pod's deletion.
 * The notation is explained in ../type-table.ts.
 */
import type { TypePackage } from "../type-table.ts";

export const EVICTION_TYPES: TypePackage = {
  prefix: "io.k8s.api.policy.v1",
  types: `
Eviction apiVersion:string deleteOptions#2:DeleteOptions kind:string metadata#1:ObjectMeta
`,
};
