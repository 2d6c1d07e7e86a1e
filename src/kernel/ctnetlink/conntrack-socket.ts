/** Connection tracking of the real kernel, over ctnetlink. */
import type { ConntrackEntry, ConntrackFilter } from "../../model/conntrack.ts";
import type { Family } from "../../model/ip.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { isNotFound } from "../netlink/error.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import {
  decodeEntry,
  deleteMatchingRequest,
  deleteRequest,
  kernelCompares,
  listFamilyRequest,
  listRequest,
  matchesFilter,
} from "./messages.ts";
import type { Conntrack } from "./types.ts";

/** Opens connection tracking of the calling thread's network namespace. Needs CAP_NET_ADMIN there. */
export function openConntrack(): Conntrack {
  return new ConntrackSocket();
}

class ConntrackSocket implements Conntrack {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  entries(filter?: ConntrackFilter): ConntrackEntry[] {
    const entries = this.#socket.dump(listRequest(filter), decodeEntry);
    return filter === undefined ? entries : entries.filter((entry) => matchesFilter(entry, filter));
  }

  entriesOf(family: Family): ConntrackEntry[] {
    return this.#socket.dump(listFamilyRequest(family), decodeEntry);
  }

  deleteEntry(entry: Pick<ConntrackEntry, "family" | "original" | "id" | "zone">): boolean {
    try {
      this.#socket.request(deleteRequest(entry));
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  deleteMatching(filter: ConntrackFilter): void {
    if (kernelCompares(filter)) this.#socket.request(deleteMatchingRequest(filter));
    else for (const entry of this.entries(filter)) this.deleteEntry(entry);
  }
}
