/** What IPVS has in the kernel, by the keys of frontends: our virtual servers with their destinations, and others'. */
import type { Ipvs } from "../../kernel/genetlink/ipvs.ts";
import { IPVS_MARK, type IpvsServer, type ObservedServer } from "../../model/ipvs.ts";

export interface ObservedIpvs {
  /** Virtual servers with our mark, and those that were asked for. */
  readonly servers: Map<string, ObservedServer>;
  /** Others', by key. */
  readonly foreign: ReadonlyMap<string, IpvsServer>;
}

export const NO_IPVS = (): ObservedIpvs => ({ servers: new Map(), foreign: new Map() });

/** Servers whose destinations are read before others may run. */
const AT_ONCE = 200;

/** @param takes whether another's virtual server is to be read as ours @throws BreakwaterError BW_NETLINK */
export function observeIpvs(ipvs: Ipvs, takes: (key: string) => boolean): ObservedIpvs {
  const steps = observeInPieces(ipvs, takes);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

/** The same, stopping where others may run. */
export function* observeInPieces(ipvs: Ipvs, takes: (key: string) => boolean): Generator<undefined, ObservedIpvs> {
  const servers = new Map<string, ObservedServer>();
  const foreign = new Map<string, IpvsServer>();
  for (const { server } of ipvs.virtualServers()) {
    if (server === undefined) continue;
    if ((server.flags & IPVS_MARK) === 0 && !takes(server.key)) {
      foreign.set(server.key, server);
      continue;
    }
    const destinations = ipvs.destinations(server.key).map(({ endpoint, weight }) => [endpoint, weight] as const);
    servers.set(server.key, { server, destinations: new Map(destinations) });
    if (servers.size % AT_ONCE === 0) yield;
  }
  return { servers, foreign };
}
