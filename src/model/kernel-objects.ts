/**
 * The kernel's objects as plain values: links, addresses, routes, neighbours, forwarding entries, rules. `src/kernel`
 * reads and writes them, `src/diff` compares them.
 */
import type { Ip } from "./ip.ts";
import type { Mac } from "./mac.ts";
import type { Prefix } from "./prefix.ts";

export const MAIN_TABLE = 254;

/** Ports from `first` on, `last` among them. */
export interface PortSpan {
  readonly first: number;
  readonly last: number;
}

export interface VxlanParameters {
  readonly vni: number;
  /** Outer source address; its family is that of the outer header. */
  readonly local: Ip;
  /** UDP port, 4789 by IANA (RFC 7348). */
  readonly port: number;
  /** Interface index of the underlay device. With it the kernel caps the MTU at underlay - 50. */
  readonly underlayIndex: number;
  readonly learning: boolean;
  /** Of the outer UDP header over IPv4: RFC 7348 asks for zero. */
  readonly udpChecksum: boolean;
  /** Of the outer UDP header, drawn by a hash of the inner flow. @default the host's ip_local_port_range */
  readonly sourcePorts?: PortSpan | undefined;
  /** Outer IPv4 packets have DF (IFLA_VXLAN_DF); never set by the agent, so never read back. @default false */
  readonly dontFragment?: boolean;
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
  /** Its interface index there (EBUSY when that is taken), only together with the new link's own. */
  readonly index?: number;
  readonly name: string;
  readonly mac: Mac;
  readonly mtuBytes: number;
  /** Open file descriptor of its namespace; the host's own when absent. */
  readonly namespaceFd?: number;
}

export interface NewLink {
  /** The interface index it gets (EEXIST when that is taken); the kernel's choice when absent. */
  readonly index?: number;
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
    /** A dummy does what a loopback does: it holds addresses. */
    | { readonly type: "bridge" | "dummy" };
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

export interface NewAddress extends Omit<Address, "scope"> {
  /** No duplicate address detection. */
  readonly noDad?: boolean;
  /** The kernel never chooses it as a source towards others: of scope host (IPv4), deprecated from the start (IPv6). */
  readonly neverSource?: boolean;
}

/** One of several ways of a route. */
export interface NextHop {
  readonly gateway: Ip | undefined;
  readonly oif: number;
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
  /** Where there are several (RTA_MULTIPATH); gateway and oif are undefined then. Never of a route of ours. */
  readonly nextHops?: readonly NextHop[];
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
  /** Somebody switched forwarding (RTM_NEWNETCONF): off for one device, or either way for all, without an index. */
  | { readonly type: "forwarding"; readonly index?: number }
  /** The queue overran: the listener must list everything again. */
  | { readonly type: "lost" };
