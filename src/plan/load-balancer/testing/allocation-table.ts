/** What tests of the allocator have in common: pools, Services that share or are of an age, and who has what in the end. */
import type { AddressPool, BalancedService } from "../../../model/load-balancer.ts";
import { planAllocations } from "../allocate.ts";
import { aPool, namespaces } from "./objects.ts";

export const NAMESPACES = namespaces(["default", { team: "red" }], ["other", { team: "blue" }]);
export const V4 = aPool("v4", ["192.0.2.1-192.0.2.3"]);
export const V6 = aPool("v6", ["2001:db8::1-2001:db8::2"]);
export const both = { families: [4, 6] } as const;
export const shares = { sharingKey: "k" };
export const port = (number: number, protocol: "TCP" | "UDP" = "TCP") => ({ ports: [{ protocol, port: number }] });
/** Younger by the number. */
export const at = (day: number) => ({ createdAt: `2026-01-0${day}T00:00:00Z` });

/** A name, what there is, and by the Service's name its addresses and what is said of it. */
export type AllocationRow = readonly [
  name: string,
  pools: readonly AddressPool[],
  services: readonly BalancedService[],
  expected: Record<string, readonly [ips: readonly string[], problems: readonly string[]]>,
];

export function allocated(pools: readonly AddressPool[], services: readonly BalancedService[]) {
  const { services: planned } = planAllocations({ services, pools, namespaces: NAMESPACES });
  return Object.fromEntries(
    Array.from(planned.values(), ({ service, ips, problems }) => [service.name, [ips, problems]]),
  );
}
