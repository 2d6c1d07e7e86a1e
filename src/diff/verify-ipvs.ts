/** What differs between the virtual servers that the API asks for and those that the kernel has, one by one. */
import { formatServerKey, formatServerManner, type IpvsServer, type ObservedServer } from "../model/ipvs.ts";
import type { ServiceDifference } from "../model/service-report.ts";
import { sameServer, type WantedServer } from "./ipvs.ts";

/** @param service whose it is; what waits with weight 0 for the end of its connections is no difference */
export function compareServer(
  service: string | null,
  wanted: WantedServer | undefined,
  observed: ObservedServer | undefined,
): ServiceDifference[] {
  const differences: ServiceDifference[] = [];
  const note = (set: string, api: string | null, kernel: string | null) => {
    if (api !== kernel) differences.push({ set: `ipvs ${set}`, service, api, kernel });
  };
  const weights = observed?.destinations ?? new Map<string, number>();
  const isWaiting = wanted === undefined && weights.size > 0 && [...weights.values()].every((weight) => weight === 0);
  if (!isWaiting) note("virtual-servers", describe(wanted?.server), describe(observed?.server, wanted?.server));
  const used = new Set(wanted?.endpoints);
  const key = (wanted?.server ?? observed?.server)?.key ?? "";
  const text = (endpoint: string, weight: number) => `${key} : ${endpoint} weight ${weight}`;
  for (const endpoint of used) {
    const weight = weights.get(endpoint);
    note("destinations", text(endpoint, 1), weight === undefined ? null : text(endpoint, weight));
  }
  for (const [endpoint, weight] of weights) {
    if (!used.has(endpoint) && weight !== 0) note("destinations", null, text(endpoint, weight));
  }
  return differences;
}

/** Flags in words only where they are what differs. */
function describe(server: IpvsServer | undefined, other = server): string | null {
  if (server === undefined) return null;
  const plain = `${formatServerKey(server.key)} ${formatServerManner(server)}`;
  const isOnlyFlags =
    other !== undefined && !sameServer(server, other) && formatServerManner(server) === formatServerManner(other);
  return isOnlyFlags ? `${plain} flags 0x${server.flags.toString(16)}` : plain;
}
