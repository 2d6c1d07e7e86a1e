/** Takes BIRD and its routes off a node: routing by BGP is wanted no more. */
import { existsSync } from "node:fs";
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import { messageOf } from "../../model/errors.ts";
import type { Route } from "../../model/kernel-objects.ts";
import { BGP_METRIC, BIRD_PROTOCOL } from "../../model/marks.ts";
import { birdPaths, birdPid, killBird, tryOpen } from "./bird-process.ts";

/** Routes that our BIRD made: another one's have another metric. */
export function bgpRoutes(routes: Pick<RouteTable, "routes">): Route[] {
  return routes.routes({ protocol: BIRD_PROTOCOL }).filter(({ metric }) => metric === BGP_METRIC);
}

/** Deletes one of {@link bgpRoutes}. Without next hops: a route with several is one to the kernel. */
export function deleteBgpRoute(routes: Pick<RouteTable, "deleteRoute">, route: Route): void {
  const { destination, table, protocol, metric = BGP_METRIC, type } = route;
  routes.deleteRoute({ destination, table, protocol, metric, type });
}

/** True when a BIRD of ours runs, or its files are there. */
export function hasBird(stateDir: string): boolean {
  return existsSync(birdPaths(stateDir).folder);
}

const DEADLINE_MS = 2000;
const GONE_POLL_MS = 20;

/**
 * Ends our BIRD: asked first, so that its peers hear that it goes, and killed when it does not. Its routes stay (`persist`).
 * @returns what became of it, for a log; undefined when none ran
 */
export async function endBird(stateDir: string): Promise<string | undefined> {
  const paths = birdPaths(stateDir);
  try {
    // One in a container beside has no pid here.
    const control = await tryOpen(paths.socket, DEADLINE_MS);
    if (control === undefined && birdPid(paths) === undefined) return undefined;
    await control?.command("down");
    control?.close();
  } catch (error) {
    killBird(paths);
    return `BIRD is killed: ${messageOf(error)}`;
  }
  const until = performance.now() + DEADLINE_MS;
  while (birdPid(paths) !== undefined) {
    if (performance.now() > until) {
      killBird(paths);
      return "BIRD is killed: it does not end";
    }
    await new Promise((next) => setTimeout(next, GONE_POLL_MS));
  }
  return "BIRD has ended";
}
