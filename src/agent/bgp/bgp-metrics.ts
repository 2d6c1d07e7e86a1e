/** Metrics of a node's BGP. */
import { Counter, Gauge, type Registry } from "prom-client";

export interface BgpMetrics {
  readonly up: Gauge<"peer" | "kind">;
  readonly prefixes: Gauge<"peer" | "family" | "direction">;
  readonly flaps: Counter<"peer">;
  readonly differences: Gauge;
  readonly repairs: Counter;
  readonly birdUp: Gauge;
  readonly birdRestarts: Gauge;
}

export function createBgpMetrics(registry: Registry): BgpMetrics {
  const registers = [registry];
  return {
    up: new Gauge({
      name: "breakwater_bgp_session_up",
      help: "1 where the BGP session is established, 0 where not, by peer and its kind (node, peer)",
      labelNames: ["peer", "kind"],
      registers,
    }),
    prefixes: new Gauge({
      name: "breakwater_bgp_prefixes",
      help: "Prefixes of a session: taken (in) and announced (out), by peer and family",
      labelNames: ["peer", "family", "direction"],
      registers,
    }),
    flaps: new Counter({
      name: "breakwater_bgp_session_losses_total",
      help: "Times that an established BGP session was lost, by peer",
      labelNames: ["peer"],
      registers,
    }),
    differences: new Gauge({
      name: "breakwater_bgp_route_differences",
      help: "Prefixes on which the API, BIRD and the kernel differed in two looks, compared every two minutes",
      registers,
    }),
    repairs: new Counter({
      name: "breakwater_bgp_route_repairs_total",
      help: "Times that routes of the kernel were mended that differed from BIRD's",
      registers,
    }),
    birdUp: new Gauge({
      name: "breakwater_bird_up",
      help: "1 while BIRD runs and is configured, 0 otherwise",
      registers,
    }),
    birdRestarts: new Gauge({
      name: "breakwater_bird_restarts",
      help: "Times that this agent started BIRD anew because it had ended",
      registers,
    }),
  };
}
