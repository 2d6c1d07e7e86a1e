/**
 * Deleting links in the background. The kernel makes every deletion wait 16-30 ms for RCU, but a whole group waits only
 * once, and on a worker thread nobody waits with it.
 */
import { NETLINK_ROUTE } from "../netlink/constants.ts";
import { isNotFound } from "../netlink/error.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { deleteLinkGroupRequest } from "./link.ts";
import type { LinkReaper } from "./types.ts";

/** Opens a reaper for the links of the calling thread's network namespace. */
export function openLinkReaper(): LinkReaper {
  // A socket of its own: answers of the slow request never mix with others.
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  let queue = Promise.resolve();
  return {
    deleteGroup(group) {
      const run = queue.then(() => socket.requestAsync(deleteLinkGroupRequest(group))).catch(ignoreNotFound);
      queue = run.catch(() => undefined);
      return run;
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
