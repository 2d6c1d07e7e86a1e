/** Which routes BIRD brought, where that decides whether the agent's own may go. */
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import type { Route } from "../../model/kernel-objects.ts";
import type { PlannedPath } from "../../model/state.ts";
import { bgpRoutes } from "./bird-cleanup.ts";

/**
 * @param own the agent's routes, by destination
 * @returns destinations of BIRD's routes; undefined where nobody waits for any: the kernel is not asked then
 */
export function learnedRoutes(
  paths: readonly PlannedPath[],
  own: ReadonlyMap<string, Route>,
  routes: Pick<RouteTable, "routes">,
): ReadonlySet<string> | undefined {
  const isOurs = (prefix: string) => own.get(prefix)?.type === "unicast";
  if (!paths.some(({ mode, podCidrs }) => mode === "bgp" && podCidrs.some(isOurs))) return undefined;
  return new Set(bgpRoutes(routes).map(({ destination }) => destination));
}
