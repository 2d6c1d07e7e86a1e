/** The interface to connection tracking of one network namespace. */
import type { ConntrackEntry, ConntrackFilter } from "../../model/conntrack.ts";
import type { Family } from "../../model/ip.ts";

export * from "../../model/conntrack.ts";

/** Every call throws BreakwaterError BW_NETLINK with errno, the operation and the object. */
export interface Conntrack extends Disposable {
  /** Entries that match, found by the kernel; of both families and all of them without a filter. */
  entries(filter?: ConntrackFilter): ConntrackEntry[];
  /** All of one family. */
  entriesOf(family: Family): ConntrackEntry[];
  /** Deletes exactly this entry. @returns false when it is gone already, or its flow has a new entry */
  deleteEntry(entry: Pick<ConntrackEntry, "family" | "original" | "id" | "zone">): boolean;
  /** Deletes every entry that matches; none is no error. @throws RangeError for a filter that names nothing */
  deleteMatching(filter: ConntrackFilter): void;
}
