/**
 * Setting, deleting and looking up routes in memory as the kernel does: a route replaces the one with its destination,
 * table and metric, whoever made that; a gateway must be reachable on its device (net/ipv4/fib_semantics.c,
 * net/ipv6/route.c).
 */
import { familyBits, type Ip, ipFamily } from "../../model/ip.ts";
import { MAIN_TABLE, type NewRoute, type Route } from "../../model/kernel-objects.ts";
import { prefixContains, prefixLength } from "../../model/prefix.ts";
import type { Purpose } from "../netlink/error.ts";
import { refuse } from "./failures.ts";
import type { FakeNamespace } from "./namespace.ts";

const LOCAL_TABLE = 255;
/** IP6_RT_PRIO_USER of include/uapi/linux/ipv6_route.h: the metric of an IPv6 route that names none. */
const IPV6_METRIC = 1024;

export function setRoute(namespace: FakeNamespace, route: NewRoute, purpose: Purpose): void {
  const complete = completeRoute(namespace, route, purpose);
  checkNextHop(namespace, complete, purpose);
  const place = namespace.routes.findIndex((other) => sameKey(other, complete));
  const before = namespace.routes[place];
  if (before === undefined) {
    namespace.addRoute(complete);
    return;
  }
  namespace.routes = namespace.routes.with(place, complete);
  const unchanged = JSON.stringify(before) === JSON.stringify(complete);
  // IPv4 keeps quiet about a route that is there already. Nobody is told of the route that was replaced.
  if (unchanged && ipFamily(complete.destination) === 4) return;
  namespace.events.emit({ type: "route", route: complete, deleted: false });
}

function completeRoute(namespace: FakeNamespace, route: NewRoute, purpose: Purpose): Route {
  const v6 = ipFamily(route.destination) === 6;
  const metric = v6 ? (route.metric ?? IPV6_METRIC) : route.metric === 0 ? undefined : route.metric;
  const oif = route.oif ?? deviceOf(namespace, route.gateway);
  const unicast = route.type === undefined || route.type === "unicast";
  if (oif === undefined && unicast) refuse(route.gateway === undefined ? "ENODEV" : "ENETUNREACH", purpose);
  return {
    destination: route.destination,
    gateway: route.gateway,
    oif,
    source: route.source,
    table: route.table ?? MAIN_TABLE,
    protocol: route.protocol,
    scope: v6 ? "universe" : (route.scope ?? (route.gateway === undefined ? "link" : "universe")),
    type: route.type ?? "unicast",
    onlink: route.onlink ?? false,
    mtuBytes: route.mtuBytes,
    metric,
  };
}

function deviceOf(namespace: FakeNamespace, gateway: Ip | undefined): number | undefined {
  return gateway === undefined ? undefined : onLinkRoute(namespace, gateway, undefined)?.oif;
}

function onLinkRoute(namespace: FakeNamespace, gateway: Ip, oif: number | undefined): Route | undefined {
  const candidates = namespace.routes.filter(
    (route) => route.table === MAIN_TABLE && route.gateway === undefined && (oif === undefined || route.oif === oif),
  );
  return longestMatch(candidates, gateway);
}

function checkNextHop(namespace: FakeNamespace, route: Route, purpose: Purpose): void {
  if (route.oif === undefined) return;
  const link = namespace.links.get(route.oif);
  if (link === undefined) refuse("ENODEV", purpose);
  const v6 = ipFamily(route.destination) === 6;
  if (!link.up) refuse("ENETDOWN", purpose, v6 ? "Nexthop device is not up" : "Device for nexthop is not up");
  const { gateway } = route;
  // IPv6 asks nothing more of a link-local gateway: it is on the device by definition.
  if (gateway === undefined || gateway.startsWith("fe80:")) return;
  if (route.onlink) checkOnLink(namespace, route, gateway, purpose);
  else if (onLinkRoute(namespace, gateway, route.oif) === undefined) {
    refuse(v6 ? "EHOSTUNREACH" : "ENETUNREACH", purpose, "Nexthop has invalid gateway");
  }
}

/** ip6_route_check_nh_onlink(): an IPv6 gateway that some other device has a route to is no neighbour on this one. */
function checkOnLink(namespace: FakeNamespace, { oif }: Route, gateway: Ip, purpose: Purpose): void {
  if (ipFamily(gateway) === 4) return;
  const match = longestMatch(
    namespace.routes.filter((route) => route.table === MAIN_TABLE),
    gateway,
  );
  if (match === undefined || prefixLength(match.destination) === 0) return;
  if (match.oif !== oif || match.type !== "unicast") {
    refuse("EINVAL", purpose, "Nexthop has invalid gateway or device mismatch");
  }
}

function sameKey(a: Route, b: Route): boolean {
  return a.destination === b.destination && a.table === b.table && (a.metric ?? 0) === (b.metric ?? 0);
}

export function deleteRoute(namespace: FakeNamespace, route: NewRoute, purpose: Purpose): void {
  const found = namespace.routes.find(
    (other) =>
      other.destination === route.destination &&
      other.table === (route.table ?? MAIN_TABLE) &&
      (route.protocol === 0 || other.protocol === route.protocol) &&
      (route.gateway === undefined || other.gateway === route.gateway) &&
      (route.oif === undefined || other.oif === route.oif) &&
      (route.metric === undefined || (other.metric ?? 0) === route.metric),
  );
  if (found === undefined) refuse("ESRCH", purpose);
  namespace.removeRoute(found);
}

/** The table local first, then main, the longest prefix of each; ip rules are not followed. */
export function lookupRoute(namespace: FakeNamespace, ip: Ip): Route | undefined {
  for (const table of [LOCAL_TABLE, MAIN_TABLE]) {
    const match = longestMatch(
      namespace.routes.filter((route) => route.table === table),
      ip,
    );
    if (match?.type === "unreachable" || match?.type === "blackhole") return undefined;
    if (match !== undefined) return match;
  }
  return undefined;
}

function longestMatch(routes: readonly Route[], ip: Ip): Route | undefined {
  let best: Route | undefined;
  for (const route of routes) {
    if (!covers(route, ip)) continue;
    if (best === undefined || isBetter(route, best)) best = route;
  }
  return best;
}

function covers(route: Route, ip: Ip): boolean {
  const full = prefixLength(route.destination) === familyBits(ipFamily(ip));
  return full ? route.destination.startsWith(`${ip}/`) : prefixContains(route.destination, ip);
}

function isBetter(a: Route, b: Route): boolean {
  const difference = prefixLength(a.destination) - prefixLength(b.destination);
  return difference > 0 || (difference === 0 && (a.metric ?? 0) < (b.metric ?? 0));
}
