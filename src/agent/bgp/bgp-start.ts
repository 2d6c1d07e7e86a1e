/** Whether this node routes by BGP; where it did and does not any more, what BIRD left is taken away. */
import type { Kernel } from "../../kernel/kernel.ts";
import { messageOf } from "../../model/errors.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import type { Log } from "../log.ts";
import type { ReconcilerStatus } from "../reconciler.ts";
import { BgpParts, type BgpPartsOptions } from "./bgp-parts.ts";
import { bgpRoutes, deleteBgpRoute, endBird, hasBird } from "./bird-cleanup.ts";

export type { BgpParts } from "./bgp-parts.ts";

interface AgentSide {
  readonly config: NodeConfig;
  readonly kernel: Kernel;
  readonly stateDir: string;
  readonly log: Log;
}

type Surroundings = Pick<BgpPartsOptions, "registry" | "nodes" | "facts" | "state" | "onChange">;

/** @returns undefined in other routing modes */
export function routeByBgp({ config, kernel, stateDir, log }: AgentSide, around: Surroundings): BgpParts | undefined {
  if (config.routing !== "bgp") return undefined;
  return new BgpParts({ ...around, nodeName: config.nodeName, stateDir, routes: kernel.routes, log });
}

/**
 * In other routing modes: what an agent with BGP left goes once the node has all its own routes, which take precedence by
 * their metric meanwhile.
 * @returns to be called behind every round
 */
export function dropBgp({ config, kernel, stateDir, log }: AgentSide, status: () => ReconcilerStatus): () => void {
  let isDue = config.routing !== "bgp" && hasBird(stateDir);
  return () => {
    const { state, failures, error } = status();
    if (!isDue || state === undefined || failures.length > 0 || error !== undefined) return;
    isDue = false;
    endBird(stateDir)
      .then((outcome) => {
        const routes = bgpRoutes(kernel.routes);
        for (const route of routes) deleteBgpRoute(kernel.routes, route);
        if (outcome === undefined && routes.length === 0) return;
        log.info({ outcome, routes: routes.length }, "routing is by BGP no more; BIRD and its routes are gone");
      })
      .catch((failure: unknown) => log.error({ error: messageOf(failure) }, "cannot take BIRD's routes away"));
  };
}
