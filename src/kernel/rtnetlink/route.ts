/** Routes and rules: RTM_NEWROUTE … RTM_GETRULE (include/uapi/linux/rtnetlink.h, fib_rules.h). */
import { familyBits, type Ip, ipFamily } from "../../model/ip.ts";
import { type Prefix, prefixAddress, prefixLength } from "../../model/prefix.ts";
import { attributes, ip as ipCodec, message, struct, u8, u32 } from "../netlink/codec.ts";
import * as c from "../netlink/constants.ts";
import type { NetlinkMessage, NetlinkRequest } from "../netlink/socket.ts";
import { AF_INET, AF_INET6, familyNumber } from "./address.ts";
import { nextHops } from "./next-hops.ts";
import { MAIN_TABLE, type NewRoute, type Route, type Rule } from "./types.ts";

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_NOWHERE = 255;
const RTN_UNICAST = 1;
const RTN_BLACKHOLE = 6;
const RTN_UNREACHABLE = 7;
const RTNH_F_ONLINK = 4;
export const RTM_F_CLONED = 0x200;
const FR_ACT_TO_TBL = 1;

const rtmsg = struct({
  family: "u8",
  destinationLength: "u8",
  sourceLength: "u8",
  tos: "u8",
  table: "u8",
  protocol: "u8",
  scope: "u8",
  type: "u8",
  flags: "u32",
});
const metrics = attributes({ mtu: [2, u32] });
export const routeMessage = message(
  rtmsg,
  attributes({
    destination: [1, ipCodec],
    oif: [4, u32],
    gateway: [5, ipCodec],
    priority: [6, u32],
    source: [7, ipCodec],
    metrics: [8, metrics],
    nextHops: [9, nextHops],
    table: [15, u32],
  }),
);

const types = new Map<number, Route["type"]>([
  [RTN_UNICAST, "unicast"],
  [RTN_BLACKHOLE, "blackhole"],
  [RTN_UNREACHABLE, "unreachable"],
]);

function typeNumber(type: Route["type"] | undefined): number {
  for (const [number, name] of types) if (name === type) return number;
  return RTN_UNICAST;
}

/** One family a request: with strict checking the kernel filters by protocol itself. */
export function routesRequest(family: 4 | 6, protocol: number | undefined): NetlinkRequest {
  return {
    operation: "list",
    object: `IPv${family} routes`,
    type: RTM_GETROUTE,
    flags: 0,
    body: (w) => routeMessage.write(w, { family: family === 4 ? AF_INET : AF_INET6, protocol: protocol ?? 0 }, {}),
  };
}

/** RTM_F_FIB_MATCH: answer with the entry that matched, not with the resolved route. */
const RTM_F_FIB_MATCH = 0x2000;

export function lookupRouteRequest(ip: Ip): NetlinkRequest {
  return {
    operation: "look up the route to",
    object: ip,
    type: RTM_GETROUTE,
    flags: 0,
    // ENETUNREACH, or what a route of type unreachable or blackhole answers.
    absent: ["ENETUNREACH", "EHOSTUNREACH", "EINVAL"],
    body: (w) =>
      routeMessage.write(
        w,
        { family: familyNumber(ip), destinationLength: familyBits(ipFamily(ip)), flags: RTM_F_FIB_MATCH },
        { destination: ip },
      ),
  };
}

function routeBody(route: NewRoute, deleting: boolean): NetlinkRequest["body"] {
  const address = prefixAddress(route.destination);
  const length = prefixLength(route.destination);
  const table = route.table ?? MAIN_TABLE;
  const scope = route.scope ?? (route.gateway === undefined && route.oif !== undefined ? "link" : "universe");
  const scopeNumber = scope === "link" && ipFamily(address) === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const header = {
    family: familyNumber(address),
    destinationLength: length,
    table: table > 255 ? 0 : table,
    protocol: route.protocol,
    scope: deleting ? RT_SCOPE_NOWHERE : scopeNumber,
    type: typeNumber(route.type),
    flags: route.onlink === true ? RTNH_F_ONLINK : 0,
  };
  const values = {
    destination: length === 0 ? undefined : address,
    oif: route.oif,
    gateway: route.gateway,
    priority: route.metric,
    source: route.source,
    metrics: route.mtuBytes === undefined || deleting ? undefined : { mtu: route.mtuBytes },
    table: table > 255 ? table : undefined,
  };
  return (w) => routeMessage.write(w, header, values);
}

export function setRouteRequest(route: NewRoute): NetlinkRequest {
  return {
    operation: "set route",
    object: formatRoute(route),
    type: RTM_NEWROUTE,
    flags: c.NLM_F_CREATE | c.NLM_F_REPLACE,
    body: routeBody(route, false),
  };
}

export function deleteRouteRequest(route: NewRoute): NetlinkRequest {
  return {
    operation: "delete route",
    object: formatRoute(route),
    type: RTM_DELROUTE,
    flags: 0,
    body: routeBody(route, true),
  };
}

function formatRoute(route: NewRoute): string {
  const via = route.gateway === undefined ? "" : ` via ${route.gateway}`;
  const device = route.oif === undefined ? "" : ` dev ${route.oif}`;
  return `${route.destination}${via}${device}`;
}

function familyZero(family: number): Prefix {
  return family === AF_INET ? "0.0.0.0/0" : "::/0";
}

export function decodeRoute(received: NetlinkMessage): Route | undefined {
  if (received.type !== RTM_NEWROUTE && received.type !== RTM_DELROUTE) return undefined;
  const { header, values } = routeMessage.read(received.payload);
  if (header.family !== AF_INET && header.family !== AF_INET6) return undefined;
  if ((header.flags & RTM_F_CLONED) !== 0) return undefined;
  const destination =
    values.destination === undefined ? familyZero(header.family) : `${values.destination}/${header.destinationLength}`;
  return {
    destination,
    gateway: values.gateway,
    oif: values.oif,
    source: values.source,
    table: values.table ?? header.table,
    protocol: header.protocol,
    scope: header.scope === RT_SCOPE_LINK ? "link" : "universe",
    type: types.get(header.type) ?? "other",
    onlink: (header.flags & RTNH_F_ONLINK) !== 0,
    mtuBytes: values.metrics?.mtu,
    metric: values.priority,
    ...(values.nextHops === undefined ? {} : { nextHops: values.nextHops }),
  };
}

const fibRule = struct({
  family: "u8",
  destinationLength: "u8",
  sourceLength: "u8",
  tos: "u8",
  table: "u8",
  reserved1: "u8",
  reserved2: "u8",
  action: "u8",
  flags: "u32",
});
const ruleMessage = message(
  fibRule,
  attributes({
    destination: [1, ipCodec],
    source: [2, ipCodec],
    priority: [6, u32],
    mark: [10, u32],
    table: [15, u32],
    protocol: [21, u8],
  }),
);

export function rulesRequest(family: 4 | 6): NetlinkRequest {
  return {
    operation: "list",
    object: `IPv${family} rules`,
    type: RTM_GETRULE,
    flags: 0,
    body: (w) => ruleMessage.write(w, { family: family === 4 ? AF_INET : AF_INET6 }, {}),
  };
}

export function ruleRequest(rule: Rule, action: "add" | "delete"): NetlinkRequest {
  const { source, destination } = rule;
  const header = {
    family: rule.family === 4 ? AF_INET : AF_INET6,
    destinationLength: destination === undefined ? 0 : prefixLength(destination),
    sourceLength: source === undefined ? 0 : prefixLength(source),
    table: rule.table > 255 ? 0 : rule.table,
    action: FR_ACT_TO_TBL,
  };
  const values = {
    destination: destination === undefined ? undefined : prefixAddress(destination),
    source: source === undefined ? undefined : prefixAddress(source),
    priority: rule.priority,
    mark: rule.mark,
    table: rule.table,
    protocol: rule.protocol,
  };
  return {
    operation: `${action} rule`,
    object: `${rule.priority} lookup ${rule.table}`,
    type: action === "add" ? RTM_NEWRULE : RTM_DELRULE,
    flags: action === "add" ? c.NLM_F_CREATE | c.NLM_F_EXCL : 0,
    body: (w) => ruleMessage.write(w, header, values),
  };
}

export function decodeRule(received: NetlinkMessage): Rule | undefined {
  if (received.type !== RTM_NEWRULE) return undefined;
  const { header, values } = ruleMessage.read(received.payload);
  if (header.family !== AF_INET && header.family !== AF_INET6) return undefined;
  return {
    family: header.family === AF_INET ? 4 : 6,
    priority: values.priority ?? 0,
    table: values.table ?? header.table,
    source: values.source === undefined ? undefined : `${values.source}/${header.sourceLength}`,
    destination: values.destination === undefined ? undefined : `${values.destination}/${header.destinationLength}`,
    mark: values.mark,
    protocol: values.protocol ?? 0,
  };
}
