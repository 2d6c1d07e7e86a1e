/**
 * Link changes in the network namespaces that this one has given a number (NETLINK_LISTEN_ALL_NSID, netlink(7)): those
 * of the pods, each the other end of a veth pair. Nobody has to look into a hundred pods to see that somebody turned
 * one's device down.
 */
import { isBreakwaterError } from "../../model/errors.ts";
import * as libc from "../libc.ts";
import { NETLINK_ROUTE } from "../netlink/constants.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { decodeLink, RTM_NEWLINK } from "./link.ts";
import type { Link } from "./types.ts";

const SOL_NETLINK = 270;
const NETLINK_LISTEN_ALL_NSID = 8;
const RTNLGRP_LINK = 1;

/** Calls `listener` with links as they are now, of this namespace and of all that it knows, until disposed. */
export function watchPodEnds(listener: (links: Link[]) => void): Disposable {
  const socket = new NetlinkSocket(NETLINK_ROUTE, { groups: [RTNLGRP_LINK], nonBlocking: true });
  const one = Buffer.from([1, 0, 0, 0]);
  const set = libc.setsockopt(socket.fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, one, one.length);
  libc.checked(set, "listen to the links of", "all pods");
  const poll = libc.pollReadable(socket.fd, () => {
    const links = readLinks(socket);
    if (links.length > 0) listener(links);
  });
  return {
    [Symbol.dispose]: () => {
      poll.stop();
      socket.close();
    },
  };
}

/** What was lost (ENOBUFS) is found by the next look into the pods. */
function readLinks(socket: NetlinkSocket): Link[] {
  const links: Link[] = [];
  try {
    for (const message of socket.receiveQueued()) {
      const link = message.type === RTM_NEWLINK ? decodeLink(message) : undefined;
      if (link?.kind === "veth") links.push(link);
    }
  } catch (error) {
    if (!isBreakwaterError(error) || error.errno !== "ENOBUFS") throw error;
  }
  return links;
}
