/**
 * The table of one family that enforces NetworkPolicies on a node's pods. One verdict map a direction leads from a pod's
 * address to its chain; pods that no policy selects are in neither, and their packets pay two lookups. Pods that the same
 * policies select share a chain. Established flows pass before all that.
 */
import type { Family } from "../../model/ip.ts";
import type { NftTable } from "../../model/nft.ts";
import { PolicyPlanner } from "./planner.ts";
import type { PolicyInput } from "./policy-input.ts";

export type { PolicyInput } from "./policy-input.ts";
export { selects } from "./policy-input.ts";

/** The whole table, from nothing. */
export function planPolicyTable(input: PolicyInput, family: Family): NftTable {
  const planner = new PolicyPlanner(family);
  planner.update(input);
  return planner.table();
}
