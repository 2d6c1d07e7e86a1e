/**
 * The objects of rtnetlink as plain values, and the interface to them. The real kernel (route-socket.ts) and the fake one
 * (fake/) both implement {@link RouteTable}; everything above this folder knows only these.
 */
import type { Ip } from "../../model/ip.ts";
import type { Mac } from "../../model/mac.ts";
import type { Prefix } from "../../model/prefix.ts";

export interface VxlanParameters {
  readonly vni: number;
  /** Outer source address; its family is that of the outer header. */
  readonly local: Ip;
  /** UDP port, 4789 by IANA (RFC 7348). */
  readonly port: number;
  /** Interface index of the underlay device. With it the kernel caps the MTU at underlay - 50. */
  readonly underlayIndex: number;
  readonly learning: boolean;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  /** "veth", "vxlan", "bridge"; undefined for hardware. */
  readonly kind: string | undefined;
  readonly mac: Mac | undefined;
  readonly mtuBytes: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** Has carrier (IFF_LOWER_UP): the other end is up too. */
  readonly carrier: boolean;
  readonly group: number;
  /** Index of the lower or peer device, perhaps in another namespace. */
  readonly peerIndex: number | undefined;
  readonly master: number | undefined;
  readonly vxlan: VxlanParameters | undefined;
}

/** The end of a new veth pair that is born in another namespace. */
export interface VethPeer {
  readonly name: string;
  readonly mac: Mac;
  readonly mtuBytes: number;
  /** Open file descriptor of its namespace; the host's own when absent. */
  readonly namespaceFd?: number;
}

export interface NewLink {
  readonly name: string;
  readonly mac?: Mac;
  readonly mtuBytes?: number;
  readonly up?: boolean;
  readonly master?: number;
  readonly kind:
    | {
        readonly type: "veth";
        readonly peer: VethPeer /** No fe80:: address: the kernel makes none. */;
        readonly noLinkLocal?: boolean;
      }
    | { readonly type: "vxlan"; readonly vxlan: VxlanParameters }
    | { readonly type: "bridge" };
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtuBytes?: number;
  readonly mac?: Mac;
  readonly name?: string;
  readonly group?: number;
  /** 0 takes the link out of its bridge. */
  readonly master?: number;
  readonly namespaceFd?: number;
}

export interface Address {
  readonly index: number;
  readonly address: Ip;
  readonly length: number;
  readonly scope: "global" | "link" | "host";
}

export interface Route {
  readonly destination: Prefix;
  readonly gateway: Ip | undefined;
  readonly oif: number | undefined;
  /** Source address hint for the host's own packets. */
  readonly source: Ip | undefined;
  readonly table: number;
  /** rtm_protocol: who made it (include/uapi/linux/rtnetlink.h; 98 is ours). */
  readonly protocol: number;
  readonly scope: "universe" | "link";
  readonly type: "unicast" | "unreachable" | "blackhole" | "other";
  /** The gateway is taken to be on the link even where no address says so (RTNH_F_ONLINK). */
  readonly onlink: boolean;
  /** RTAX_MTU; undefined when the device's MTU holds. */
  readonly mtuBytes: number | undefined;
  readonly metric: number | undefined;
}

export type NewRoute = Pick<Route, "destination" | "protocol"> & Partial<Route>;

export interface Neighbour {
  readonly index: number;
  readonly ip: Ip;
  readonly mac: Mac | undefined;
  readonly permanent: boolean;
}

/** A VXLAN forwarding entry: frames for `mac` go to the tunnel end `destination`. */
export interface FdbEntry {
  readonly index: number;
  readonly mac: Mac;
  readonly destination: Ip;
}

export interface Rule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly source: Prefix | undefined;
  readonly destination: Prefix | undefined;
  readonly mark: number | undefined;
  readonly protocol: number;
}

export type RouteEvent =
  | { readonly type: "link"; readonly link: Link; readonly deleted: boolean }
  | { readonly type: "address"; readonly address: Address; readonly deleted: boolean }
  | { readonly type: "route"; readonly route: Route; readonly deleted: boolean }
  | { readonly type: "neighbour"; readonly neighbour: Neighbour; readonly deleted: boolean }
  | { readonly type: "fdb"; readonly entry: FdbEntry; readonly deleted: boolean }
  /** The queue overran: the listener must list everything again. */
  | { readonly type: "lost" };

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
  addAddress(address: Omit<Address, "scope"> & { readonly noDad?: boolean }): void;
  deleteAddress(address: Omit<Address, "scope">): void;

  /** Routes of one protocol number, or all, of all tables. */
  routes(filter?: { readonly protocol?: number }): Route[];
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
  | { readonly do: "addAddress"; readonly address: Omit<Address, "scope"> & { readonly noDad?: boolean } }
  | { readonly do: "deleteAddress"; readonly address: Omit<Address, "scope"> }
  | { readonly do: "setRoute"; readonly route: NewRoute }
  | { readonly do: "deleteRoute"; readonly route: NewRoute }
  | { readonly do: "setNeighbour"; readonly neighbour: Omit<Neighbour, "permanent"> & { readonly mac: Mac } }
  | { readonly do: "deleteNeighbour"; readonly neighbour: Pick<Neighbour, "index" | "ip"> }
  | { readonly do: "setFdb"; readonly entry: FdbEntry }
  | { readonly do: "deleteFdb"; readonly entry: FdbEntry };

export const MAIN_TABLE = 254;
