/**
 * One network namespace in memory: its tables, and what the kernel does to them when a device goes up, down or away. IPv4
 * routes of a device that goes down vanish without a word; IPv6 routes, neighbours and IPv6 addresses with one each;
 * permanent forwarding entries stay until the device is deleted.
 */
import type { BreakwaterError } from "../../model/errors.ts";
import { ipFamily } from "../../model/ip.ts";
import type { Address, FdbEntry, Link, Neighbour, Route, Rule, VxlanParameters } from "../../model/kernel-objects.ts";
import { linkLocalIp, type Mac } from "../../model/mac.ts";
import { EventQueue } from "./event-queue.ts";
import { IpvsStore } from "./ipvs.ts";
import { connectedRoutes, localRoute } from "./own-routes.ts";
import { TableStore } from "./table-store.ts";

/** A link as it changes. Both ends of a veth pair know each other. */
export interface FakeLink {
  index: number;
  name: string;
  readonly kind: string | undefined;
  mac: Mac | undefined;
  mtuBytes: number;
  up: boolean;
  group: number;
  master: number | undefined;
  readonly vxlan: VxlanParameters | undefined;
  peer: { readonly namespace: FakeNamespace; readonly link: FakeLink } | undefined;
  noLinkLocal: boolean;
  /** Features that are on. */
  features: ReadonlySet<string>;
}

/** NETIF_F_SOFT_FEATURES of include/linux/netdev_features.h: on for every new device. veth leaves rx-gro out. */
export const SOFTWARE_FEATURES: ReadonlySet<string> = new Set(["rx-gro", "tx-generic-segmentation"]);
export const VETH_FEATURES: ReadonlySet<string> = new Set(["tx-generic-segmentation"]);

/** The part of a neighbour entry's events that says nothing about where it leads. */
const GONE = { mac: undefined, permanent: false } as const;

export class FakeNamespace {
  readonly path: string;
  readonly links = new Map<number, FakeLink>();
  addresses: Address[] = [];
  routes: Route[] = [];
  neighbours: Neighbour[] = [];
  fdb: FdbEntry[] = [];
  rules: Rule[] = [];
  readonly sysctls = new Map<string, string>();
  /** Set for a kernel without ethtool netlink. */
  withoutFeatures: BreakwaterError | undefined;
  readonly events = new EventQueue();
  readonly ipvs = new IpvsStore();
  /** False for a kernel without flowtables. */
  hasFlowtables = true;
  readonly nftables = new TableStore({
    hasDevice: (name) => this.linkNamed(name) !== undefined,
    hasFlowtables: () => this.hasFlowtables,
  });
  #nextIndex = 1;

  constructor(path: string) {
    this.path = path;
    const index = this.nextIndex();
    this.addLink({ ...emptyLink, index, name: "lo", mac: "00:00:00:00:00:00", mtuBytes: 65536, noLinkLocal: true });
  }

  nextIndex(): number {
    while (this.links.has(this.#nextIndex)) this.#nextIndex++;
    return this.#nextIndex++;
  }

  linkNamed(name: string): FakeLink | undefined {
    for (const link of this.links.values()) if (link.name === name) return link;
    return undefined;
  }

  addLink(link: FakeLink, announced = true): void {
    this.links.set(link.index, link);
    if (announced) this.announce(link);
  }

  /** Sends the link's present state to whoever listens. */
  announce(link: FakeLink): void {
    this.events.emit({ type: "link", link: toLink(link), deleted: false });
  }

  setUp(link: FakeLink): void {
    if (link.up) return;
    link.up = true;
    this.announce(link);
    for (const address of this.addresses.filter((a) => a.index === link.index)) this.addOwnRoutes(address);
    this.#announceCarrier(link);
    if (link.noLinkLocal || link.mac === undefined) return;
    this.addAddress({ index: link.index, address: linkLocalIp(link.mac), length: 64, scope: "link" });
  }

  setDown(link: FakeLink): void {
    if (!link.up) return;
    link.up = false;
    this.announce(link);
    this.dropIpv4Routes(link.index);
    this.#dropNeighbours(link.index, 4);
    this.#dropIpv6Routes(link.index);
    this.#dropNeighbours(link.index, 6);
    for (const address of this.addresses.filter((a) => a.index === link.index && ipFamily(a.address) === 6)) {
      this.removeAddress(address);
    }
    this.#announceCarrier(link);
  }

  /** Neighbours were resolved for the old address: neigh_changeaddr() forgets them all, permanent ones too. */
  changeMac(link: FakeLink, mac: Mac): void {
    link.mac = mac;
    this.announce(link);
    this.#dropNeighbours(link.index, 4);
    this.#dropNeighbours(link.index, 6);
  }

  /** Takes all that hangs on a link away, before {@link unlink}. */
  strip(link: FakeLink): void {
    for (const entry of this.fdb.filter((e) => e.index === link.index)) this.removeFdb(entry);
    this.setDown(link);
    this.#dropNeighbours(link.index, 4);
    this.#dropNeighbours(link.index, 6);
    for (const address of this.addresses.filter((a) => a.index === link.index)) this.removeAddress(address);
  }

  /** Takes the link out of this namespace alone. */
  unlink(link: FakeLink): void {
    this.links.delete(link.index);
    this.nftables.forgetDevice(link.name);
    this.events.emit({ type: "link", link: toLink(link), deleted: true });
  }

  addAddress(address: Address): void {
    this.addresses.push(address);
    this.events.emit({ type: "address", address, deleted: false });
    this.addOwnRoutes(address);
  }

  removeAddress(address: Address): void {
    this.addresses = this.addresses.filter((other) => other !== address);
    this.events.emit({ type: "address", address, deleted: true });
    const own = [localRoute(address), ...connectedRoutes(address)];
    for (const route of this.routes.filter((r) => own.some((o) => sameOwnRoute(o, r)))) this.removeRoute(route);
    const family = ipFamily(address.address);
    const last = !this.addresses.some((a) => a.index === address.index && ipFamily(a.address) === family);
    // fib_disable_ip(): the last IPv4 address takes every IPv4 route of the device along, unannounced.
    if (family === 4 && last) this.dropIpv4Routes(address.index);
  }

  addOwnRoutes(address: Address): void {
    const up = this.links.get(address.index)?.up === true;
    for (const route of [localRoute(address), ...(up ? connectedRoutes(address) : [])]) {
      if (!this.routes.some((r) => sameOwnRoute(r, route))) this.addRoute(route);
    }
  }

  addRoute(route: Route): void {
    this.routes.push(route);
    this.events.emit({ type: "route", route, deleted: false });
  }

  removeRoute(route: Route): void {
    this.routes = this.routes.filter((other) => other !== route);
    this.events.emit({ type: "route", route, deleted: true });
  }

  removeFdb(entry: FdbEntry): void {
    this.fdb = this.fdb.filter((other) => other !== entry);
    this.events.emit({ type: "fdb", entry, deleted: true });
  }

  removeNeighbour(neighbour: Neighbour): void {
    this.neighbours = this.neighbours.filter((other) => other !== neighbour);
    const { index, ip } = neighbour;
    this.events.emit({ type: "neighbour", neighbour: { index, ip, ...GONE }, deleted: true });
  }

  dropIpv4Routes(index: number): void {
    this.routes = this.routes.filter((route) => route.oif !== index || ipFamily(route.destination) === 6);
  }

  #dropIpv6Routes(index: number): void {
    for (const route of this.routes.filter((r) => r.oif === index && ipFamily(r.destination) === 6)) {
      this.removeRoute(route);
    }
  }

  #dropNeighbours(index: number, family: 4 | 6): void {
    for (const neighbour of this.neighbours.filter((n) => n.index === index && ipFamily(n.ip) === family)) {
      this.neighbours = this.neighbours.filter((other) => other !== neighbour);
      this.events.emit({ type: "neighbour", neighbour, deleted: true });
    }
  }

  /** The other end of a pair has carrier while this one is up. */
  #announceCarrier(link: FakeLink): void {
    if (link.peer?.link.up === true) link.peer.namespace.announce(link.peer.link);
  }
}

const emptyLink = {
  kind: undefined,
  up: false,
  group: 0,
  master: undefined,
  vxlan: undefined,
  peer: undefined,
  features: SOFTWARE_FEATURES,
} as const;

function sameOwnRoute(a: Route, b: Route): boolean {
  return a.destination === b.destination && a.table === b.table && a.oif === b.oif && a.protocol === b.protocol;
}

/** The link as a list or an event shows it. */
export function toLink(link: FakeLink): Link {
  const { index, name, kind, mac, mtuBytes, up, group, master, vxlan, peer } = link;
  const carrier = up && (peer === undefined || peer.link.up);
  return { index, name, kind, mac, mtuBytes, up, carrier, group, peerIndex: peer?.link.index, master, vxlan };
}
