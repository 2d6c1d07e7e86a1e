/** rtnetlink of one namespace in memory, with its failures and its log. */
import type { Ip } from "../../model/ip.ts";
import type { Purpose } from "../netlink/error.ts";
import * as addressMessages from "../rtnetlink/address.ts";
import * as linkMessages from "../rtnetlink/link.ts";
import * as neighbourMessages from "../rtnetlink/neighbour.ts";
import * as routeMessages from "../rtnetlink/route.ts";
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
} from "../rtnetlink/types.ts";
import * as entries from "./entries.ts";
import { type FakeOperation, refuse } from "./failures.ts";
import * as links from "./links.ts";
import { type FakeNamespace, toLink } from "./namespace.ts";
import * as routes from "./routes.ts";
import type { Supervision } from "./supervision.ts";

export class FakeRouteTable implements RouteTable {
  readonly #namespace: FakeNamespace;
  readonly #supervision: Supervision;
  readonly #byFd: links.NamespaceOfFd;

  constructor(namespace: FakeNamespace, supervision: Supervision, byFd: links.NamespaceOfFd) {
    this.#namespace = namespace;
    this.#supervision = supervision;
    this.#byFd = byFd;
  }

  close(): void {}

  [Symbol.dispose](): void {}

  links(): Link[] {
    const read = () => Array.from(this.#namespace.links.values(), toLink);
    return this.#list("links", linkMessages.linksRequest(), read);
  }

  link(name: string): Link | undefined {
    return this.#list("link", linkMessages.linkByNameRequest(name), () => {
      const link = this.#namespace.linkNamed(name);
      return link && toLink(link);
    });
  }

  createLink(link: NewLink): void {
    const purpose = linkMessages.createLinkRequest(link);
    this.#run("createLink", purpose, () => links.createLink(this.#namespace, link, purpose, this.#byFd));
  }

  changeLink(index: number, change: LinkChange, name?: string): void {
    const purpose = linkMessages.changeLinkRequest(index, change, name ?? this.#namespace.links.get(index)?.name);
    this.#run("changeLink", purpose, () => links.changeLink(this.#namespace, index, change, purpose, this.#byFd));
  }

  deleteLink(index: number): void {
    const purpose = linkMessages.deleteLinkRequest(index);
    this.#run("deleteLink", purpose, () => {
      links.deleteLink(this.#namespace, this.#namespace.links.get(index) ?? refuse("ENODEV", purpose));
    });
  }

  addresses(): Address[] {
    return this.#list("addresses", addressMessages.addressesRequest(), () => [...this.#namespace.addresses]);
  }

  addAddress(address: NewAddress): void {
    const purpose = addressMessages.addAddressRequest(address);
    this.#run("addAddress", purpose, () => entries.addAddress(this.#namespace, address, purpose));
  }

  deleteAddress(address: Omit<Address, "scope">): void {
    const purpose = addressMessages.deleteAddressRequest(address);
    this.#run("deleteAddress", purpose, () => entries.deleteAddress(this.#namespace, address, purpose));
  }

  routes({ protocol }: { readonly protocol?: number } = {}): Route[] {
    const wanted = (route: Route) => protocol === undefined || route.protocol === protocol;
    return this.#list("routes", routeMessages.routesRequest(4, protocol), () => this.#namespace.routes.filter(wanted));
  }

  lookupRoute(ip: Ip): Route | undefined {
    const read = () => routes.lookupRoute(this.#namespace, ip);
    return this.#list("lookupRoute", routeMessages.lookupRouteRequest(ip), read);
  }

  setRoute(route: NewRoute): void {
    const purpose = routeMessages.setRouteRequest(route);
    this.#run("setRoute", purpose, () => routes.setRoute(this.#namespace, route, purpose));
  }

  deleteRoute(route: NewRoute): void {
    const purpose = routeMessages.deleteRouteRequest(route);
    this.#run("deleteRoute", purpose, () => routes.deleteRoute(this.#namespace, route, purpose));
  }

  neighbours(): Neighbour[] {
    return this.#list("neighbours", neighbourMessages.neighboursRequest(), () => [...this.#namespace.neighbours]);
  }

  setNeighbour(neighbour: Omit<Neighbour, "permanent"> & { readonly mac: string }): void {
    const purpose = neighbourMessages.setNeighbourRequest(neighbour);
    this.#run("setNeighbour", purpose, () => entries.setNeighbour(this.#namespace, neighbour, purpose));
  }

  deleteNeighbour(neighbour: Pick<Neighbour, "index" | "ip">): void {
    const purpose = neighbourMessages.deleteNeighbourRequest(neighbour);
    this.#run("deleteNeighbour", purpose, () => entries.deleteNeighbour(this.#namespace, neighbour, purpose));
  }

  fdb(): FdbEntry[] {
    return this.#list("fdb", neighbourMessages.fdbRequest(), () => [...this.#namespace.fdb]);
  }

  setFdb(entry: FdbEntry): void {
    const purpose = neighbourMessages.setFdbRequest(entry);
    this.#run("setFdb", purpose, () => entries.setFdb(this.#namespace, entry, purpose));
  }

  deleteFdb(entry: FdbEntry): void {
    const purpose = neighbourMessages.deleteFdbRequest(entry);
    this.#run("deleteFdb", purpose, () => entries.deleteFdb(this.#namespace, entry, purpose));
  }

  rules(): Rule[] {
    return this.#list("rules", routeMessages.rulesRequest(4), () => [...this.#namespace.rules]);
  }

  addRule(rule: Rule): void {
    const purpose = routeMessages.ruleRequest(rule, "add");
    this.#run("addRule", purpose, () => entries.addRule(this.#namespace, rule, purpose));
  }

  deleteRule(rule: Rule): void {
    const purpose = routeMessages.ruleRequest(rule, "delete");
    this.#run("deleteRule", purpose, () => entries.deleteRule(this.#namespace, rule, purpose));
  }

  applyMany(changes: readonly RouteChange[]): (Error | undefined)[] {
    if (changes.length === 0) return [];
    this.#supervision.interrupt("applyMany", { operation: "send", object: `${changes.length} changes` });
    return changes.map((change) => {
      try {
        this.#applyOne(change);
        return undefined;
      } catch (error) {
        return error as Error;
      }
    });
  }

  #applyOne(change: RouteChange): void {
    switch (change.do) {
      case "createLink":
        this.createLink(change.link);
        break;
      case "changeLink":
        this.changeLink(change.index, change.change, change.name);
        break;
      case "addAddress":
        this.addAddress(change.address);
        break;
      case "deleteAddress":
        this.deleteAddress(change.address);
        break;
      case "setRoute":
        this.setRoute(change.route);
        break;
      case "deleteRoute":
        this.deleteRoute(change.route);
        break;
      case "setNeighbour":
        this.setNeighbour(change.neighbour);
        break;
      case "deleteNeighbour":
        this.deleteNeighbour(change.neighbour);
        break;
      case "setFdb":
        this.setFdb(change.entry);
        break;
      case "deleteFdb":
        this.deleteFdb(change.entry);
        break;
    }
  }

  #run(operation: FakeOperation, purpose: Purpose, body: () => void): void {
    this.#supervision.run(operation, purpose, body);
  }

  #list<T>(operation: FakeOperation, purpose: Purpose, body: () => T): T {
    return this.#supervision.list(operation, purpose, body);
  }
}
