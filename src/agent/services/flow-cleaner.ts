/**
 * Deletes tracked UDP flows that lead nowhere, one by one and only those, once the rules that replace them are in.
 */
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { ConntrackEntry } from "../../model/conntrack.ts";
import type { Family } from "../../model/ip.ts";
import { type FlowJudge, IPPROTO_UDP, isStale } from "../../plan/services/stale-flows.ts";

/** The kernel walks all entries for each list: from so many frontends on, one list of all UDP flows is cheaper. */
const SINGLE_LISTS = 4;

/** A UDP frontend that lost an endpoint, had none, or is gone. */
export interface FlowTarget {
  readonly family: Family;
  readonly address: string;
  readonly port: number;
}

/** @returns how many were deleted @throws BreakwaterError BW_NETLINK */
export function deleteStaleFlows(conntrack: Conntrack, targets: readonly FlowTarget[], judge: FlowJudge): number {
  let deleted = 0;
  for (const entry of listFlows(conntrack, targets)) {
    if (isStale(entry, judge) && conntrack.deleteEntry(entry)) deleted++;
  }
  return deleted;
}

function listFlows(conntrack: Conntrack, targets: readonly FlowTarget[]): ConntrackEntry[] {
  if (targets.length <= SINGLE_LISTS) {
    return targets.flatMap(({ family, address, port }) =>
      conntrack.entries({
        family,
        original: { destination: address, protocol: IPPROTO_UDP, destinationPort: port },
      }),
    );
  }
  const families = [...new Set(targets.map(({ family }) => family))];
  return families.flatMap((family) => conntrack.entries({ family, original: { protocol: IPPROTO_UDP } }));
}
