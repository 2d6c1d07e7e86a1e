/**
 * What a namespace's kernel has learned from ICMP about paths (RFC 1191, RFC 8201): exceptions to its routes, each with
 * the MTU to one destination. They last ten minutes (net.ipv4.route.mtu_expires, net.ipv6.route.mtu_expires), also when
 * the path is whole again before that.
 */
import { type Ip, ipFamily } from "../../model/ip.ts";
import { NETLINK_ROUTE } from "../netlink/constants.ts";
import { type NetlinkMessage, type NetlinkRequest, NetlinkSocket } from "../netlink/socket.ts";
import type { Sysctl } from "../sysctl.ts";
import { AF_INET, AF_INET6, familyNumber } from "./address.ts";
import { RTM_DELROUTE, RTM_F_CLONED, RTM_GETROUTE, RTM_NEWROUTE, routeMessage } from "./route.ts";

export interface LearnedMtu {
  readonly destination: Ip;
  readonly mtuBytes: number;
}

export interface PmtuCache {
  /** Destinations with an MTU of their own; those that no packet has used since are not listed by the kernel. */
  list(): LearnedMtu[];
  /** Forgets them all: the next packets find out again. */
  flush(): void;
}

/** The cache of the calling thread's network namespace. */
export function pmtuCache(sysctl: Sysctl): PmtuCache {
  return { list: () => withSocket(list), flush: () => flush(sysctl) };
}

function withSocket<T>(body: (socket: NetlinkSocket) => T): T {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  return body(socket);
}

function list(socket: NetlinkSocket): LearnedMtu[] {
  return ([4, 6] as const).flatMap((family) => socket.dump(exceptionsRequest(family), decodeException));
}

function flush(sysctl: Sysctl): void {
  sysctl.write("net/ipv4/route/flush", "1");
  // The switch of the same name for IPv6 only removes what has expired anyway (ipv6_sysctl_rtcache_flush).
  withSocket((socket) => {
    const learned = list(socket).filter(({ destination }) => ipFamily(destination) === 6);
    // One that expired meanwhile is no error.
    if (learned.length > 0) socket.requestMany(learned.map(({ destination }) => forgetRequest(destination)));
  });
}

function exceptionsRequest(family: 4 | 6): NetlinkRequest {
  return {
    operation: "list",
    object: `IPv${family} path MTU cache`,
    type: RTM_GETROUTE,
    flags: 0,
    body: (w) => routeMessage.write(w, { family: family === 4 ? AF_INET : AF_INET6, flags: RTM_F_CLONED }, {}),
  };
}

function forgetRequest(destination: Ip): NetlinkRequest {
  const header = { family: familyNumber(destination), destinationLength: 128, flags: RTM_F_CLONED };
  return {
    operation: "forget the path MTU to",
    object: destination,
    type: RTM_DELROUTE,
    flags: 0,
    body: (w) => routeMessage.write(w, header, { destination }),
  };
}

function decodeException(received: NetlinkMessage): LearnedMtu | undefined {
  if (received.type !== RTM_NEWROUTE) return undefined;
  const { header, values } = routeMessage.read(received.payload);
  const mtuBytes = values.metrics?.mtu;
  if ((header.flags & RTM_F_CLONED) === 0 || values.destination === undefined || mtuBytes === undefined)
    return undefined;
  return { destination: values.destination, mtuBytes };
}
