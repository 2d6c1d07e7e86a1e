/** Configurations of FRR's daemons, as they read them at their start. */
import type { Family } from "../../model/ip.ts";
import type { FabricNeighbor, FabricRouter } from "./plan.ts";

/** RFC 4271, section 10: what nodes have, too. */
const [KEEPALIVE_SECONDS, HOLD_SECONDS] = [30, 90];
const CONNECT_SECONDS = 2;
const MOST_PATHS = 16;

/** What every daemon is told; bfdd needs nothing more. */
export function formatFrrConfig(router: FabricRouter, ...more: readonly string[]): string {
  return [`hostname ${router.name}`, "log stdout informational", ...more, "!", ""].join("\n");
}

/**
 * Zebra puts into the kernel what bgpd found, and tells it of devices. Routes carry their next hops themselves: of next hops as
 * objects of the kernel FRR 8.4 believes that they are there still when a device that went down took them along, and all
 * routes by them are refused from then on ("B>r" of `show ip route`).
 */
export function formatZebraConfig(router: FabricRouter): string {
  return formatFrrConfig(router, "no zebra nexthop kernel enable");
}

/**
 * The router announces its networks, and whatever routes an administrator gives its kernel: faults leak routes that way.
 * It trusts its neighbours, as many a fabric does: what a node takes is for the node's own filters.
 */
export function formatBgpdConfig(router: FabricRouter): string {
  const { name, asNumber, routerId, neighbors } = router;
  const families = ([4, 6] as const).filter((family) => neighbors.some((each) => each.families.includes(family)));
  return [
    `hostname ${name}`,
    "log stdout informational",
    `router bgp ${asNumber}`,
    ` bgp router-id ${routerId}`,
    " no bgp ebgp-requires-policy",
    " no bgp default ipv4-unicast",
    " bgp log-neighbor-changes",
    " bgp graceful-restart",
    // The same prefix by two racks is two ways, though their AS numbers differ.
    " bgp bestpath as-path multipath-relax",
    ` timers bgp ${KEEPALIVE_SECONDS} ${HOLD_SECONDS}`,
    ...neighbors.flatMap(formatNeighbor),
    ...families.flatMap((family) => formatFamily(family, neighbors)),
    "!",
    ...nextHopMaps(neighbors),
    "",
  ].join("\n");
}

function formatNeighbor({ address, asNumber, name, password }: FabricNeighbor): string[] {
  return [
    ` neighbor ${address} remote-as ${asNumber}`,
    ` neighbor ${address} description ${name}`,
    ` neighbor ${address} timers connect ${CONNECT_SECONDS}`,
    // Of no effect while the other side does not speak it.
    ` neighbor ${address} bfd`,
    ...(password === undefined ? [] : [` neighbor ${address} password ${password}`]),
  ];
}

function formatFamily(family: Family, neighbors: readonly FabricNeighbor[]): string[] {
  return [
    ` address-family ipv${family} unicast`,
    "  redistribute connected",
    "  redistribute kernel",
    `  maximum-paths ${MOST_PATHS}`,
    ...neighbors
      .filter(({ families }) => families.includes(family))
      .flatMap(({ address, nextHop6 }) => [
        `  neighbor ${address} activate`,
        // Left to itself it names an IPv4 address where the session began before it knew the device's of IPv6.
        ...(family === 6 && nextHop6 !== undefined ? [`  neighbor ${address} route-map ${mapName(nextHop6)} out`] : []),
      ]),
    " exit-address-family",
  ];
}

const mapName = (nextHop6: string) => `via-${nextHop6}`;

function nextHopMaps(neighbors: readonly FabricNeighbor[]): string[] {
  const hops = new Set(neighbors.flatMap(({ nextHop6 }) => nextHop6 ?? []));
  return [...hops].flatMap((hop) => [`route-map ${mapName(hop)} permit 10`, ` set ipv6 next-hop global ${hop}`, "!"]);
}
