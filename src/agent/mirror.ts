/**
 * What the kernel has, as far as it concerns us: listed once, then kept by netlink events and by our own changes. When
 * events are lost it is listed anew. What a plan is compared with is always this, never what we think we did.
 */
import { isDeepStrictEqual } from "node:util";
import { tableBehind, withFlowtables } from "../diff/nft-outcome.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { hasFlowtables } from "../kernel/nfnetlink/flowtable-support.ts";
import type { RouteEvent } from "../kernel/rtnetlink/types.ts";
import { ipFamily } from "../model/ip.ts";
import type { Address, FdbEntry, Link, Neighbour, Route } from "../model/kernel-objects.ts";
import { MAIN_TABLE } from "../model/kernel-objects.ts";
import {
  BIRD_PROTOCOL,
  DOOMED_GROUP,
  IPVS_DEVICE,
  isOurLink,
  isPodLink,
  NFT_TABLE,
  RECEIVE_OFFLOAD,
  ROUTE_PROTOCOL,
  VXLAN_DEVICE,
} from "../model/marks.ts";
import type { NftChange, ObservedTable } from "../model/nft-changes.ts";
import type { NodeConfig } from "../model/node-config.ts";
import { addressKey, fdbKey, featureKey, neighbourKey, type Observed } from "../model/observed.ts";
import type { DesiredFeature, DesiredState, NodeFacts, NodeInterface } from "../model/state.ts";
import { learnedRoutes } from "./bgp/learned-routes.ts";

/** Counts for every device that is not looser itself. */
const STRICT_FOR_ALL = "net/ipv4/conf/all/rp_filter";

export class Mirror {
  readonly #kernel: Kernel;
  #links = new Map<string, Link>();
  #linksByIndex = new Map<number, Link>();
  #addresses = new Map<string, Address>();
  #routes = new Map<string, Route>();
  #neighbours = new Map<string, Neighbour>();
  #fdb = new Map<string, FdbEntry>();
  #nft: ObservedTable | undefined;
  #hasFlowtables: boolean | undefined;
  readonly #podEndMtus = new Map<string, number>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /**
   * Lists everything. After this the mirror equals the kernel; when a list fails nothing has changed. Objects that are as
   * they were stay: what replaced them every minute would fill V8's old generation, which nothing empties for long.
   */
  list(): void {
    const { routes, nftables } = this.#kernel;
    const [links, addresses, neighbours, fdb] = [routes.links(), routes.addresses(), routes.neighbours(), routes.fdb()];
    const ours = routes.routes({ protocol: ROUTE_PROTOCOL }).filter((route) => route.table === MAIN_TABLE);
    const nft = nftables.table(NFT_TABLE);
    if (!isDeepStrictEqual(nft, this.#nft)) this.#nft = nft;
    const linksBefore = this.#linksByIndex;
    [this.#links, this.#linksByIndex] = [new Map(), new Map()];
    for (const link of links) {
      const before = linksBefore.get(link.index);
      this.#setLink(before !== undefined && isDeepStrictEqual(before, link) ? before : link);
    }
    // Those of Services are the Service proxy's: it lists them itself, and there may be thousands.
    const ofNode = addresses.filter(({ index }) => !this.#isServiceDevice(index));
    this.#addresses = byKey(ofNode, addressKey, this.#addresses);
    this.#routes = byKey(ours, (route) => route.destination, this.#routes);
    const ourNeighbours = neighbours.filter((neighbour) => this.#isOurNeighbour(neighbour));
    this.#neighbours = byKey(ourNeighbours, neighbourKey, this.#neighbours);
    const ourEntries = fdb.filter((entry) => this.#isOurs(entry.index));
    this.#fdb = byKey(ourEntries, fdbKey, this.#fdb);
  }

  /** Reads our nftables table: events say that somebody touched it, not what it became. */
  listNft(): void {
    this.#nft = this.#kernel.nftables.table(NFT_TABLE);
  }

  /**
   * Our own transaction succeeded: it applies whole or not at all, so its outcome is known. What others do meanwhile comes
   * as an event, behind which the table is read.
   */
  nftCommitted(changes: readonly NftChange[]): void {
    this.#nft = tableBehind(NFT_TABLE, this.#nft, changes);
  }

  /** @returns true when something changed that a plan may depend on */
  apply(events: readonly RouteEvent[]): boolean {
    let changed = false;
    for (const event of events) changed = this.#applyOne(event) || changed;
    return changed;
  }

  /**
   * Follows links of all namespaces: of them the other ends of our pods' links count.
   * @returns true when one has another MTU than its host end
   */
  applyPodEnds(links: readonly Link[]): boolean {
    let differs = false;
    for (const { index, peerIndex, mtuBytes } of links) {
      const host = peerIndex === undefined ? undefined : this.#linksByIndex.get(peerIndex);
      if (host?.peerIndex !== index || !this.#isPodLink(host.index)) continue;
      this.setPodEndMtu(host.name, mtuBytes);
      differs = differs || mtuBytes !== host.mtuBytes;
    }
    return differs;
  }

  /** What the pod's own end has. */
  setPodEndMtu(hostIfname: string, mtuBytes: number): void {
    this.#podEndMtus.set(hostIfname, mtuBytes);
  }

  /** With the sysctls and features that are wanted, read now. */
  observed(wanted: Pick<DesiredState, "sysctls" | "features"> & Partial<Pick<DesiredState, "paths">>): Observed {
    const sysctls = new Map<string, string>();
    for (const { name } of wanted.sysctls) {
      const value = this.#kernel.sysctl.read(name);
      if (value !== undefined) sysctls.set(name, value);
    }
    const learned = learnedRoutes(wanted.paths ?? [], this.#routes, this.#kernel.routes);
    return {
      ...(learned === undefined ? {} : { learned }),
      links: this.#links,
      linksByIndex: this.#linksByIndex,
      podEndMtus: this.#podEndMtus,
      addresses: this.#addresses,
      routes: this.#routes,
      neighbours: this.#neighbours,
      fdb: this.#fdb,
      nft: this.#nft,
      sysctls,
      features: this.#readFeatures(wanted.features),
    };
  }

  #readFeatures(wanted: readonly DesiredFeature[]): Map<string, boolean> | undefined {
    const { features } = this.#kernel;
    if (features.unavailable !== undefined) return undefined;
    const values = new Map<string, boolean>();
    for (const feature of wanted) {
      const on = features.read(feature.device, feature.name);
      if (on !== undefined) values.set(featureKey(feature), on);
    }
    return values;
  }

  /** What a plan is to know of this node. Whether the kernel has flowtables is asked once, where they are wanted. */
  facts({ nodeName, flowtable }: Pick<NodeConfig, "nodeName" | "flowtable">): NodeFacts {
    const isStrict = this.#kernel.sysctl.read(STRICT_FOR_ALL) === "1";
    const facts = { nodeName, interfaces: this.interfaces(), ...(isStrict ? { strictReversePath: true } : {}) };
    if (flowtable !== true) return facts;
    this.#hasFlowtables ??= hasFlowtables(this.#kernel.nftables);
    return { ...facts, flowtables: this.#hasFlowtables };
  }

  /** The node's own interfaces with their addresses, without ours. */
  interfaces(): NodeInterface[] {
    const addresses = Map.groupBy(this.#addresses.values(), (address) => address.index);
    return [...this.#links.values()]
      .filter((link) => !isOurLink(link.name))
      .map((link) => this.#describe(link, addresses.get(link.index) ?? []))
      .sort((a, b) => a.index - b.index);
  }

  #describe({ name, index, mtuBytes, up, kind }: Link, addresses: readonly Address[]): NodeInterface {
    // Only a device with an address can be the underlay, and of a veth nobody wants to know.
    const isAsked = addresses.length > 0 && kind !== "veth";
    const receiveOffload = isAsked ? this.#kernel.features.read(name, RECEIVE_OFFLOAD) : undefined;
    return {
      name,
      index,
      mtuBytes,
      up,
      ...(kind === undefined ? {} : { kind }),
      ...(receiveOffload === undefined ? {} : { receiveOffload }),
      addresses: addresses.map(({ address, length }) => ({ address, length })),
    };
  }

  /** Addresses of the node that others can reach, sorted, each once: link-local ones come and go with each pod. */
  nodeAddresses(): string[] {
    const reachable = [...this.#addresses.values()].filter(({ scope }) => scope !== "link");
    return [...new Set(reachable.map(({ address }) => address))].sort();
  }

  /** Names of the host ends of pods that are there, those that wait for deletion left out. */
  podLinks(): string[] {
    return [...this.#links.values()]
      .filter(({ name, group }) => isPodLink(name) && group !== DOOMED_GROUP)
      .map(({ name }) => name);
  }

  /** True when links wait for their deletion. */
  hasDoomedLinks(): boolean {
    return [...this.#links.values()].some(({ name, group }) => group === DOOMED_GROUP && isOurLink(name));
  }

  link(name: string): Link | undefined {
    return this.#links.get(name);
  }

  routeTo(destination: string): Route | undefined {
    return this.#routes.get(destination);
  }

  /** The largest interface index there is. */
  largestIndex(): number {
    let largest = 0;
    for (const index of this.#linksByIndex.keys()) if (index > largest) largest = index;
    return largest;
  }

  /** Our routes over a link. */
  routesOver(index: number): Route[] {
    return [...this.#routes.values()].filter((route) => route.oif === index);
  }

  /** Asks the kernel for one link again, after we changed it. */
  refreshLink(name: string): Link | undefined {
    const link = this.#kernel.routes.link(name);
    const before = this.#links.get(name);
    if (link !== undefined) this.#setLink(link);
    else if (before !== undefined) this.#deleteLink(before);
    return link;
  }

  #applyOne(event: RouteEvent): boolean {
    switch (event.type) {
      case "lost":
        this.list();
        return true;
      case "forwarding":
        // Sysctls are not mirrored: every round reads those it wants. None wants those of a pod's link.
        return event.index === undefined || !this.#isPodLink(event.index);
      case "link":
        return this.#applyLink(event.link, event.deleted);
      case "address":
        return this.#applyAddress(event.address, event.deleted);
      case "route":
        return event.route.table === MAIN_TABLE && this.#applyRoute(event.route, event.deleted);
      case "neighbour": {
        if (!this.#isOurs(event.neighbour.index)) return false;
        const gone = event.deleted || !event.neighbour.permanent;
        return set(this.#neighbours, neighbourKey(event.neighbour), event.neighbour, gone);
      }
      case "fdb":
        if (!this.#isOurs(event.entry.index)) return false;
        return set(this.#fdb, fdbKey(event.entry), event.entry, event.deleted);
    }
  }

  /**
   * A route that replaces another (`ip route replace`) is announced, the one that it replaced is not: a foreign route
   * that takes the place of ours says that ours is gone.
   */
  #applyRoute(route: Route, deleted: boolean): boolean {
    if (route.protocol === ROUTE_PROTOCOL) return set(this.#routes, route.destination, route, deleted);
    const ours = this.#routes.get(route.destination);
    // BIRD's way to where ours leads: ours may go.
    if (!deleted && ours !== undefined && route.protocol === BIRD_PROTOCOL) return true;
    if (deleted || ours === undefined || (ours.metric ?? 0) !== (route.metric ?? 0)) return false;
    return this.#routes.delete(route.destination);
  }

  #applyAddress(address: Address, deleted: boolean): boolean {
    if (this.#isServiceDevice(address.index)) return false;
    const changed = set(this.#addresses, addressKey(address), address, deleted);
    if (deleted && ipFamily(address.address) === 4) this.#forgetIpv4WithoutAddress(address.index);
    // The kernel gives the host end of each pod a link-local address and takes it back: no plan asks for it.
    return changed && !(address.scope === "link" && this.#isPodLink(address.index));
  }

  /**
   * A device that loses its last IPv4 address loses its IPv4 routes too, without a message for each (fib_inetaddr_event
   * in the kernel's fib_frontend.c).
   */
  #forgetIpv4WithoutAddress(index: number): void {
    for (const { index: at, address } of this.#addresses.values()) if (at === index && ipFamily(address) === 4) return;
    for (const [key, route] of this.#routes) {
      if (route.oif === index && ipFamily(route.destination) === 4) this.#routes.delete(key);
    }
  }

  #applyLink(link: Link, deleted: boolean): boolean {
    const before = this.#linksByIndex.get(link.index);
    // A link that was given up is nobody's until it is gone: its pod's DEL dealt with what hung on it.
    const wasGivenUp = before?.group === DOOMED_GROUP;
    if (deleted) {
      if (before !== undefined) this.#deleteLink(before);
      return before !== undefined && !wasGivenUp;
    }
    this.#setLink(link);
    // The kernel drops the routes and neighbours of a device that goes down, IPv4 routes without a message for each.
    // Permanent forwarding entries stay.
    const isGivenUp = link.group === DOOMED_GROUP;
    if ((before?.up === true && !link.up) || (isGivenUp && !wasGivenUp)) this.#forgetRoutes(link.index);
    if (isGivenUp && wasGivenUp) return false;
    // Features are not mirrored, every round reads those it wants: a message that changes nothing else may tell of them.
    return before === undefined || link.name === VXLAN_DEVICE || !sameForPlans(before, link);
  }

  #setLink(link: Link): void {
    const before = this.#linksByIndex.get(link.index);
    if (before !== undefined && before.name !== link.name) this.#links.delete(before.name);
    this.#links.set(link.name, link);
    this.#linksByIndex.set(link.index, link);
  }

  #deleteLink(link: Link): void {
    if (this.#links.get(link.name)?.index === link.index) {
      this.#links.delete(link.name);
      this.#podEndMtus.delete(link.name);
      this.#leaveFlowtables(link.name);
    }
    this.#linksByIndex.delete(link.index);
    this.#forgetRoutes(link.index);
    for (const [key, entry] of this.#fdb) if (entry.index === link.index) this.#fdb.delete(key);
    for (const [key, address] of this.#addresses) if (address.index === link.index) this.#addresses.delete(key);
  }

  /** As the kernel does when a link is deleted, without a message. */
  #leaveFlowtables(device: string): void {
    const { flowtables } = this.#nft ?? {};
    if (this.#nft === undefined || !flowtables?.some(({ devices }) => devices.includes(device))) return;
    const without = flowtables.map((each) => ({ ...each, devices: each.devices.filter((name) => name !== device) }));
    this.#nft = withFlowtables(this.#nft, without);
  }

  #forgetRoutes(index: number): void {
    for (const [key, route] of this.#routes) if (route.oif === index) this.#routes.delete(key);
    for (const [key, neighbour] of this.#neighbours) if (neighbour.index === index) this.#neighbours.delete(key);
  }

  #isOurs(index: number): boolean {
    const link = this.#linksByIndex.get(index);
    return link !== undefined && isOurLink(link.name);
  }

  #isPodLink(index: number): boolean {
    const name = this.#linksByIndex.get(index)?.name;
    return name !== undefined && isPodLink(name);
  }

  #isServiceDevice(index: number): boolean {
    return this.#linksByIndex.get(index)?.name === IPVS_DEVICE;
  }

  #isOurNeighbour(neighbour: Neighbour): boolean {
    return neighbour.permanent && this.#isOurs(neighbour.index);
  }
}

/** The values by key; in place of one that is the same as before the one that was there. */
function byKey<T extends object>(
  values: readonly T[],
  key: (value: T) => string,
  before: ReadonlyMap<string, T>,
): Map<string, T> {
  const map = new Map<string, T>();
  for (const value of values) {
    const name = key(value);
    const known = before.get(name);
    map.set(name, known !== undefined && same(known, value) ? known : value);
  }
  return map;
}

/** Sets or deletes; false when that changed nothing. */
function set<T extends object>(map: Map<string, T>, key: string, value: T, deleted: boolean): boolean {
  if (deleted) return map.delete(key);
  const before = map.get(key);
  map.set(key, value);
  return before === undefined || !same(before, value);
}

/** Compares flat values field by field; an absent field equals one that is undefined. */
function same(a: object, b: object): boolean {
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const name in x) if (x[name] !== y[name]) return false;
  for (const name in y) if (x[name] !== y[name]) return false;
  return true;
}

/** What a plan or a diff may look at of a link. */
function sameForPlans(a: Link, b: Link): boolean {
  return same(pick(a), pick(b)) && same(a.vxlan ?? {}, b.vxlan ?? {});
}

function pick({ name, kind, mac, mtuBytes, up, group }: Link) {
  return { name, kind, mac, mtuBytes, up, group };
}
