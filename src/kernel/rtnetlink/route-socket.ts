/**
 * rtnetlink of the real kernel. A socket works on the network namespace in which it was opened, so the agent opens one
 * for its own namespace and a short-lived one inside each pod's.
 */
import { NETLINK_ROUTE } from "../netlink/constants.ts";
import { type NetlinkRequest, NetlinkSocket } from "../netlink/socket.ts";
import * as address from "./address.ts";
import * as link from "./link.ts";
import * as neighbour from "./neighbour.ts";
import * as route from "./route.ts";
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
  RouteChange,
  RouteTable,
  Rule,
} from "./types.ts";

/** Opens rtnetlink in the calling thread's network namespace. */
export function openRouteTable(): RouteTable {
  return new RouteSocket(new NetlinkSocket(NETLINK_ROUTE));
}

class RouteSocket implements RouteTable {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  links(): Link[] {
    return this.#socket.dump(link.linksRequest(), link.decodeLink);
  }

  link(name: string): Link | undefined {
    return this.#socket.get(link.linkByNameRequest(name), link.decodeLink);
  }

  createLink(newLink: NewLink): void {
    this.#socket.request(link.createLinkRequest(newLink));
  }

  changeLink(index: number, change: LinkChange): void {
    this.#socket.request(link.changeLinkRequest(index, change));
  }

  deleteLink(index: number): void {
    this.#socket.request(link.deleteLinkRequest(index));
  }

  addresses(): Address[] {
    return this.#socket.dump(address.addressesRequest(), address.decodeAddress);
  }

  addAddress(value: NewAddress): void {
    this.#socket.request(address.addAddressRequest(value));
  }

  deleteAddress(value: Omit<Address, "scope">): void {
    this.#socket.request(address.deleteAddressRequest(value));
  }

  routes(filter: { readonly protocol?: number } = {}): Route[] {
    const list = (family: 4 | 6) =>
      this.#socket.dump(route.routesRequest(family, filter.protocol), (message) => {
        const decoded = route.decodeRoute(message);
        return filter.protocol === undefined || decoded?.protocol === filter.protocol ? decoded : undefined;
      });
    return [...list(4), ...list(6)];
  }

  lookupRoute(ip: string): Route | undefined {
    return this.#socket.get(route.lookupRouteRequest(ip), route.decodeRoute);
  }

  setRoute(value: NewRoute): void {
    this.#socket.request(route.setRouteRequest(value));
  }

  deleteRoute(value: NewRoute): void {
    this.#socket.request(route.deleteRouteRequest(value));
  }

  neighbours(): Neighbour[] {
    return this.#socket.dump(neighbour.neighboursRequest(), neighbour.decodeNeighbour);
  }

  setNeighbour(value: Omit<Neighbour, "permanent"> & { readonly mac: string }): void {
    this.#socket.request(neighbour.setNeighbourRequest(value));
  }

  deleteNeighbour(value: Pick<Neighbour, "index" | "ip">): void {
    this.#socket.request(neighbour.deleteNeighbourRequest(value));
  }

  fdb(): FdbEntry[] {
    return this.#socket.dump(neighbour.fdbRequest(), neighbour.decodeFdb);
  }

  setFdb(entry: FdbEntry): void {
    this.#socket.request(neighbour.setFdbRequest(entry));
  }

  deleteFdb(entry: FdbEntry): void {
    this.#socket.request(neighbour.deleteFdbRequest(entry));
  }

  rules(): Rule[] {
    const list = (family: 4 | 6) => this.#socket.dump(route.rulesRequest(family), route.decodeRule);
    return [...list(4), ...list(6)];
  }

  addRule(rule: Rule): void {
    this.#socket.request(route.ruleRequest(rule, "add"));
  }

  deleteRule(rule: Rule): void {
    this.#socket.request(route.ruleRequest(rule, "delete"));
  }

  applyMany(changes: readonly RouteChange[]): (Error | undefined)[] {
    return this.#socket.requestMany(changes.map(requestOf));
  }
}

function requestOf(change: RouteChange): NetlinkRequest {
  switch (change.do) {
    case "createLink":
      return link.createLinkRequest(change.link);
    case "changeLink":
      return link.changeLinkRequest(change.index, change.change, change.name);
    case "addAddress":
      return address.addAddressRequest(change.address);
    case "deleteAddress":
      return address.deleteAddressRequest(change.address);
    case "setRoute":
      return route.setRouteRequest(change.route);
    case "deleteRoute":
      return route.deleteRouteRequest(change.route);
    case "setNeighbour":
      return neighbour.setNeighbourRequest(change.neighbour);
    case "deleteNeighbour":
      return neighbour.deleteNeighbourRequest(change.neighbour);
    case "setFdb":
      return neighbour.setFdbRequest(change.entry);
    case "deleteFdb":
      return neighbour.deleteFdbRequest(change.entry);
  }
}
