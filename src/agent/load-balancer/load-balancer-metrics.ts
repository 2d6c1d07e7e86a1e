/** Metrics about LoadBalancer addresses. */
import { Gauge, type Registry } from "prom-client";
import type { AllocationPlan } from "../../plan/load-balancer/allocate.ts";

export interface LoadBalancerMetrics {
  readonly leader: Gauge;
  readonly addresses: Gauge<"pool" | "family" | "state">;
  readonly unserved: Gauge;
}

export function createLoadBalancerMetrics(registry: Registry): LoadBalancerMetrics {
  const registers = [registry];
  return {
    leader: new Gauge({
      name: "breakwater_load_balancer_leader",
      help: "1 on the agent that gives LoadBalancer Services their addresses",
      registers,
    }),
    addresses: new Gauge({
      name: "breakwater_load_balancer_addresses",
      help: "Addresses of LoadBalancerPools, by pool, family and state (assigned, available); told by the leader",
      labelNames: ["pool", "family", "state"],
      registers,
    }),
    unserved: new Gauge({
      name: "breakwater_load_balancer_problem_services",
      help: "LoadBalancer Services that do not have the addresses that they should have; told by the leader",
      registers,
    }),
  };
}

/** @param plan undefined on an agent that does not lead */
export function collectLoadBalancer(metrics: LoadBalancerMetrics, plan: AllocationPlan | undefined): void {
  metrics.addresses.reset();
  let unserved = 0;
  for (const { problems } of plan?.services.values() ?? []) if (problems.length > 0) unserved++;
  metrics.unserved.set(unserved);
  for (const [pool, { assigned, available }] of plan?.pools ?? []) {
    for (const family of ["ipv4", "ipv6"] as const) {
      metrics.addresses.set({ pool, family, state: "assigned" }, assigned[family]);
      metrics.addresses.set({ pool, family, state: "available" }, available[family]);
    }
  }
}
