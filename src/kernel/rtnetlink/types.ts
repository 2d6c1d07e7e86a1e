/**
 * The interface to rtnetlink. The real kernel (route-socket.ts) and the fake one (fake/) both implement {@link RouteTable};
 * everything above this folder knows only that.
 */

import type { Ip } from "../../model/ip.ts";
import type {
  Address,
  FdbEntry,
  Link,
  LinkChange,
  Neighbour,
  NewAddress,
  NewLink,
  NewRoute,
  Route,
  Rule,
} from "../../model/kernel-objects.ts";
import type { Mac } from "../../model/mac.ts";

export * from "../../model/kernel-objects.ts";

/**
 * rtnetlink of one network namespace. Every call throws BreakwaterError BW_NETLINK with errno, the kernel's sentence,
 * the operation and the object. Lists are complete and consistent: an interrupted dump is repeated.
 */
export interface RouteTable extends Disposable {
  links(): Link[];
  /** Undefined when there is no link of that name. */
  link(name: string): Link | undefined;
  createLink(link: NewLink): void;
  changeLink(index: number, change: LinkChange): void;
  /** ENODEV when it is gone. Waits for RCU: 16-30 ms. */
  deleteLink(index: number): void;

  addresses(): Address[];
  addAddress(address: NewAddress): void;
  deleteAddress(address: Omit<Address, "scope">): void;

  /** Routes of one protocol number, or all, of all tables. */
  routes(filter?: { readonly protocol?: number }): Route[];
  /** The routing table entry that a packet to this address would take; undefined when there is none. */
  lookupRoute(ip: Ip): Route | undefined;
  /** Creates the route or replaces the one with the same destination, table and metric. */
  setRoute(route: NewRoute): void;
  deleteRoute(route: NewRoute): void;

  neighbours(): Neighbour[];
  /** Creates or replaces a permanent entry. */
  setNeighbour(neighbour: Omit<Neighbour, "permanent"> & { readonly mac: Mac }): void;
  deleteNeighbour(neighbour: Pick<Neighbour, "index" | "ip">): void;

  fdb(): FdbEntry[];
  setFdb(entry: FdbEntry): void;
  deleteFdb(entry: FdbEntry): void;

  rules(): Rule[];
  addRule(rule: Rule): void;
  deleteRule(rule: Rule): void;

  /** Independent changes in one system call. @returns one entry a change: undefined or its error */
  applyMany(changes: readonly RouteChange[]): (Error | undefined)[];
  close(): void;
}

/** Deletes links without making anybody wait: see {@link RouteTable.deleteLink} for what a deletion costs. */
export interface LinkReaper extends Disposable {
  /** Deletes every link of a group at once, on a worker thread; nothing happens when there is none. */
  deleteGroup(group: number): Promise<void>;
}

/** A change as a value, for {@link RouteTable.applyMany}. */
export type RouteChange =
  | { readonly do: "createLink"; readonly link: NewLink }
  | { readonly do: "changeLink"; readonly index: number; readonly change: LinkChange; readonly name?: string }
  | { readonly do: "addAddress"; readonly address: NewAddress }
  | { readonly do: "deleteAddress"; readonly address: Omit<Address, "scope"> }
  | { readonly do: "setRoute"; readonly route: NewRoute }
  | { readonly do: "deleteRoute"; readonly route: NewRoute }
  | { readonly do: "setNeighbour"; readonly neighbour: Omit<Neighbour, "permanent"> & { readonly mac: Mac } }
  | { readonly do: "deleteNeighbour"; readonly neighbour: Pick<Neighbour, "index" | "ip"> }
  | { readonly do: "setFdb"; readonly entry: FdbEntry }
  | { readonly do: "deleteFdb"; readonly entry: FdbEntry };

/** Events that arrive until it is disposed. */
export interface RouteWatch extends Disposable {
  /**
   * Events of neighbours at these links are wanted no more, nor are those of links named before and not now. The kernel learns and
   * forgets the neighbours of an underlay all the time. @param indices the lowest 64 count
   */
  ignoreNeighboursOf(indices: readonly number[]): void;
}
