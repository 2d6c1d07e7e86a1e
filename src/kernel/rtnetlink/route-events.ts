/**
 * Changes of links, addresses, routes, neighbours and forwarding entries as they happen, on Node's loop. A burst that
 * overruns the socket (ENOBUFS) is reported as one "lost" event: the listener lists everything again.
 */
import { isBreakwaterError } from "../../model/errors.ts";
import * as libc from "../libc.ts";
import { attributes, s32 } from "../netlink/codec.ts";
import { NETLINK_ROUTE } from "../netlink/constants.ts";
import { type NetlinkMessage, NetlinkSocket } from "../netlink/socket.ts";
import { dropMessages } from "../netlink/socket-filter.ts";
import { AF_INET, AF_INET6, decodeAddress, RTM_DELADDR, RTM_NEWADDR } from "./address.ts";
import { decodeLink, RTM_DELLINK, RTM_NEWLINK } from "./link.ts";
import { decodeFdb, decodeNeighbour, RTM_DELNEIGH, RTM_NEWNEIGH } from "./neighbour.ts";
import { decodeRoute, RTM_DELROUTE, RTM_NEWROUTE } from "./route.ts";
import type { RouteEvent, RouteWatch } from "./types.ts";

/** enum rtnetlink_groups: LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE, IPV4_NETCONF, IPV6_NETCONF. */
const GROUPS = [1, 3, 5, 7, 9, 11, 24, 25];
const RTM_NEWNETCONF = 80;
/** nlmsg_type of struct nlmsghdr; ndm_family and ndm_ifindex of the struct ndmsg behind it. */
const [TYPE_OFFSET, FAMILY_OFFSET, INDEX_OFFSET] = [4, 16, 20];
const MOST_IGNORED = 64;

/**
 * Calls `listener` with every burst of events, in the kernel's order, until closed.
 * @param receiveBufferBytes what may wait before events are lost
 */
export function watchRoutes(listener: (events: RouteEvent[]) => void, receiveBufferBytes = 4 << 20): RouteWatch {
  const socket = new NetlinkSocket(NETLINK_ROUTE, { groups: GROUPS, nonBlocking: true, receiveBufferBytes });
  const poll = libc.pollReadable(socket.fd, () => {
    const events = readEvents(socket);
    if (events.length > 0) listener(events);
  });
  let unwanted = "";
  return {
    ignoreNeighboursOf: (indices) => {
      const some = [...indices].sort((a, b) => a - b).slice(0, MOST_IGNORED);
      if (some.join() === unwanted) return;
      unwanted = some.join();
      dropMessages(socket.fd, [
        { offset: TYPE_OFFSET, bytes: 2, values: [RTM_NEWNEIGH, RTM_DELNEIGH] },
        { offset: FAMILY_OFFSET, bytes: 1, values: [AF_INET, AF_INET6] },
        { offset: INDEX_OFFSET, bytes: 4, values: some },
      ]);
    },
    [Symbol.dispose]: () => {
      poll.stop();
      socket.close();
    },
  };
}

/**
 * Everything that is queued. Behind a loss the queue still holds what was before it: that is thrown away, or it would be
 * taken for news by a listener that has listed everything since.
 */
export function readEvents(socket: Pick<NetlinkSocket, "receiveQueued">): RouteEvent[] {
  let lost = false;
  for (;;) {
    const events: RouteEvent[] = [];
    try {
      for (const message of socket.receiveQueued()) {
        const event = decodeEvent(message);
        if (event !== undefined) events.push(event);
      }
      return lost ? [{ type: "lost" }] : events;
    } catch (error) {
      if (!isBreakwaterError(error) || error.errno !== "ENOBUFS") throw error;
      lost = true;
    }
  }
}

export function decodeEvent(message: NetlinkMessage): RouteEvent | undefined {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const link = decodeLink(message);
      return link && { type: "link", link, deleted: message.type === RTM_DELLINK };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = decodeAddress(message);
      return address && { type: "address", address, deleted: message.type === RTM_DELADDR };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = decodeRoute(message);
      return route && { type: "route", route, deleted: message.type === RTM_DELROUTE };
    }
    case RTM_NEWNETCONF:
      return decodeNetconfEvent(message);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return decodeNeighbourEvent(message);
    default:
      return undefined;
  }
}

/** struct netconfmsg is one byte, padded; attributes follow (include/uapi/linux/netconf.h). */
const NETCONFMSG_BYTES = 4;
const netconf = attributes({ index: [1, s32], forwarding: [2, s32], reversePath: [3, s32] });
/** NETCONFA_IFINDEX_ALL: the switch for the whole namespace. */
const ALL_DEVICES = -1;

function decodeNetconfEvent(message: NetlinkMessage): RouteEvent | undefined {
  const { index, forwarding, reversePath } = netconf.read(message.payload.subarray(NETCONFMSG_BYTES));
  if (index === ALL_DEVICES) return { type: "forwarding" };
  // New devices announce themselves too, forwarding as they were born to: nobody waits for that.
  const isAnnounced = forwarding !== undefined && reversePath !== undefined;
  return forwarding === 0 || (reversePath !== undefined && !isAnnounced) ? { type: "forwarding", index } : undefined;
}

function decodeNeighbourEvent(message: NetlinkMessage): RouteEvent | undefined {
  const deleted = message.type === RTM_DELNEIGH;
  const entry = decodeFdb(message);
  if (entry !== undefined) return { type: "fdb", entry, deleted };
  const neighbour = decodeNeighbour(message);
  // An entry that failed or is being resolved leads nowhere: for us it is gone.
  return neighbour && { type: "neighbour", neighbour, deleted: deleted || neighbour.mac === undefined };
}
