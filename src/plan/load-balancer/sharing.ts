/**
 * When Services may have one address: MetalLB's rules (internal/allocator, checkSharing and sharingOK), so that what shared
 * there shares here.
 */
import type { BalancedService } from "../../model/load-balancer.ts";
import { serviceKey } from "../../model/service.ts";

/** Why `newcomer` cannot have an address that `holder` has; undefined when it can. */
export function sharingRefusal(holder: BalancedService, newcomer: BalancedService): string | undefined {
  const who = `Service ${serviceKey(holder)}`;
  if (!holder.isOurs) return `${who} has it from somebody else`;
  if (newcomer.sharingKey === "") return `${who} has it`;
  if (holder.sharingKey !== newcomer.sharingKey) {
    const why = holder.sharingKey === "" ? "does not share it" : `shares it under ${JSON.stringify(holder.sharingKey)}`;
    return `${who} has it and ${why}`;
  }
  const common = newcomer.ports.find(({ protocol, port }) =>
    holder.ports.some((other) => other.protocol === protocol && other.port === port),
  );
  if (common !== undefined) return `${who} has ${common.protocol} port ${common.port} of it`;
  if (backends(holder) === backends(newcomer)) return undefined;
  return `${who} has it, and where traffic is led differs: both must have externalTrafficPolicy Cluster, or Local with the same selector`;
}

/** Nodes that announce the address must be the same for all that have it. */
function backends({ externalPolicy, selector }: BalancedService): string {
  return externalPolicy === "Cluster" ? "" : `Local ${selector}`;
}
