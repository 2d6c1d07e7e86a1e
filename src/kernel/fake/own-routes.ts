/** Routes that the kernel itself makes for an address: to the address (table local), and to its subnet. */
import { ipFamily } from "../../model/ip.ts";
import { type Address, MAIN_TABLE, type Route } from "../../model/kernel-objects.ts";
import { hostPrefix, parsePrefix } from "../../model/prefix.ts";

const LOCAL_TABLE = 255;
const RTPROT_KERNEL = 2;
/** IP6_RT_PRIO_ADDRCONF of include/net/ip6_route.h. */
const IPV6_PREFIX_METRIC = 256;

export function localRoute(address: Address): Route {
  const v6 = ipFamily(address.address) === 6;
  return {
    destination: hostPrefix(address.address),
    gateway: undefined,
    oif: address.index,
    source: v6 ? undefined : address.address,
    table: LOCAL_TABLE,
    protocol: RTPROT_KERNEL,
    scope: "universe",
    type: "other",
    onlink: false,
    mtuBytes: undefined,
    metric: v6 ? 0 : undefined,
  };
}

/** None for a single IPv4 address; its subnet otherwise. */
export function connectedRoutes(address: Address): Route[] {
  const v6 = ipFamily(address.address) === 6;
  if (!v6 && address.length === 32) return [];
  return [
    {
      ...localRoute(address),
      destination: parsePrefix(`${address.address}/${address.length}`),
      table: MAIN_TABLE,
      scope: v6 ? "universe" : "link",
      type: "unicast",
      metric: v6 ? IPV6_PREFIX_METRIC : undefined,
    },
  ];
}
