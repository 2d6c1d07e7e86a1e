/** The routers of a running lab. */
import { join } from "node:path";
import type { LabPaths } from "../paths.ts";
import type { LabHost } from "../underlay/host.ts";
import type { FabricPlan, Rack } from "./plan.ts";
import { Router } from "./router.ts";

export interface Fabric {
  readonly plan: FabricPlan;
  /** By name: "spine", "tor1", … */
  readonly routers: ReadonlyMap<string, Router>;
}

/** @param hosts machines of the underlay, by name */
export function createFabric(plan: FabricPlan, hosts: ReadonlyMap<string, LabHost>, paths: LabPaths): Fabric {
  const routers = [plan.spine, ...plan.racks].map((router): [string, Router] => {
    const host = hosts.get(router.name);
    if (host === undefined) throw new ReferenceError(`The underlay has no machine ${router.name}`);
    const { netns, routes } = host;
    const place = { netns, routes, folder: join(paths.routers, router.name), logs: paths.logs };
    return [router.name, new Router(router, place)];
  });
  return { plan, routers: new Map(routers) };
}

/** The rack of a node. */
export function rackOf({ racks }: FabricPlan, node: string): Rack | undefined {
  return racks.find(({ neighbors }) => neighbors.some(({ kind, name }) => kind === "node" && name === node));
}
