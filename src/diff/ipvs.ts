/**
 * Steps that bring a virtual server from what the kernel has to what is wanted: only the change. What comes is made
 * before the rules lead there; what goes is taken back behind them: its weight becomes 0, and it is deleted when its
 * connections have ended.
 */
import type { EndpointText } from "../model/frontend.ts";
import type { IpvsChange, IpvsServer, ObservedDestination, ObservedServer } from "../model/ipvs.ts";
import { drains } from "../plan/services/ipvs.ts";

export interface WantedServer {
  readonly server: IpvsServer;
  readonly endpoints: readonly EndpointText[];
}

/** Weight of a destination that is to be used: all the same. */
const WEIGHT = 1;

/** What has to be there before packets are led to it. Asked of a kernel in this state the same gives nothing. */
export function openServer(observed: ObservedServer | undefined, wanted: WantedServer | undefined): IpvsChange[] {
  if (wanted === undefined) return [];
  const { server, endpoints } = wanted;
  const changes: IpvsChange[] = [];
  if (observed === undefined) changes.push({ do: "addServer", server });
  else if (!sameServer(observed.server, server)) changes.push({ do: "changeServer", server });
  for (const endpoint of endpoints) {
    const weight = observed?.destinations.get(endpoint);
    if (weight === WEIGHT) continue;
    const what = weight === undefined ? "addDestination" : "changeDestination";
    changes.push({ do: what, key: server.key, destination: { endpoint, weight: WEIGHT } });
  }
  return changes;
}

/**
 * What is given up once no packet is led there any more.
 * @param alive endpoints that serve, though by another backend: what they have of UDP goes on, too
 */
export function closeServer(
  observed: ObservedServer | undefined,
  wanted: WantedServer | undefined,
  alive: readonly EndpointText[] = [],
): IpvsChange[] {
  if (observed === undefined) return [];
  const { server, destinations } = observed;
  const { key } = server;
  const used = new Set(wanted?.endpoints);
  const changes: IpvsChange[] = [];
  let left = used.size;
  for (const [endpoint, weight] of destinations) {
    if (used.has(endpoint)) continue;
    if (!drains(wanted?.server ?? server) && !alive.includes(endpoint)) {
      changes.push({ do: "deleteDestination", key, destination: { endpoint, weight } });
      continue;
    }
    left++;
    if (weight !== 0) changes.push({ do: "changeDestination", key, destination: { endpoint, weight: 0 } });
  }
  if (wanted === undefined && left === 0) changes.push({ do: "deleteServer", key });
  return changes;
}

/**
 * Deletes what waits for its end and has no connections any more.
 * @param found as the kernel has them now
 * @param overdue endpoints that have waited as long as they may
 */
export function drainServer(
  observed: ObservedServer,
  wanted: WantedServer | undefined,
  found: readonly ObservedDestination[],
  overdue: ReadonlySet<EndpointText>,
): IpvsChange[] {
  const { key } = observed.server;
  const used = new Set(wanted?.endpoints);
  const gone = found.filter(
    ({ endpoint, connections }) => !used.has(endpoint) && (connections === 0 || overdue.has(endpoint)),
  );
  const changes: IpvsChange[] = gone.map(({ endpoint, weight }) => {
    return { do: "deleteDestination", key, destination: { endpoint, weight } };
  });
  if (wanted === undefined && gone.length === found.length) changes.push({ do: "deleteServer", key });
  return changes;
}

/** Endpoints that wait for the end of their connections. */
export function draining(observed: ObservedServer, wanted: WantedServer | undefined): EndpointText[] {
  const used = new Set(wanted?.endpoints);
  return [...observed.destinations.keys()].filter((endpoint) => !used.has(endpoint));
}

/** What the kernel has behind a step that it took. */
export function serverBehind(observed: ObservedServer | undefined, change: IpvsChange): ObservedServer | undefined {
  switch (change.do) {
    case "addServer":
      return { server: change.server, destinations: new Map() };
    case "changeServer":
      return { server: change.server, destinations: observed?.destinations ?? new Map() };
    case "deleteServer":
      return undefined;
    default: {
      if (observed === undefined) return undefined;
      const destinations = new Map(observed.destinations);
      const { endpoint, weight } = change.destination;
      if (change.do === "deleteDestination") destinations.delete(endpoint);
      else destinations.set(endpoint, weight);
      return { ...observed, destinations };
    }
  }
}

export function sameServer(a: IpvsServer, b: IpvsServer): boolean {
  return a.scheduler === b.scheduler && a.flags === b.flags && a.timeoutSeconds === b.timeoutSeconds;
}
