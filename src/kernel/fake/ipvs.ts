/** IPVS of one namespace in memory: refused where ip_vs_ctl.c refuses, with connections that tests put there. */
import type { BreakwaterError } from "../../model/errors.ts";
import {
  formatIpvsChange,
  formatServerKey,
  type IpvsChange,
  type IpvsServer,
  type ObservedDestination,
  parseFrontendKey,
} from "../../model/ipvs.ts";
import { noFamily } from "../genetlink/genetlink-socket.ts";
import type { Ipvs } from "../genetlink/ipvs.ts";
import type { VirtualServer } from "../genetlink/ipvs-messages.ts";
import type { Purpose } from "../netlink/error.ts";
import { type FakeOperation, refuse } from "./failures.ts";
import type { Supervision } from "./supervision.ts";

const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;

interface Destination {
  weight: number;
  connections: number;
}

/** What the kernel of a namespace holds, whoever asks. */
export class IpvsStore {
  readonly servers = new Map<string, { server: IpvsServer; readonly destinations: Map<string, Destination> }>();
  /** False: the module is not there, and cannot be loaded. */
  hasModule = true;
  /** False until somebody loaded it. */
  isLoaded = false;
  /** As ip_vs_proto_tcp.c has it. */
  tcpTimeoutSeconds = 900;
  /** Schedulers that the kernel has. */
  schedulers: ReadonlySet<string> = new Set(["rr", "wrr", "lc", "wlc", "sh", "mh", "dh"]);

  /** Connections that a destination has from here on. @throws RangeError when there is none */
  connect(key: string, endpoint: string, connections: number): void {
    const destination = this.servers.get(key)?.destinations.get(endpoint);
    if (destination === undefined) throw new RangeError(`${key} has no destination ${endpoint}`);
    destination.connections = connections;
  }

  /** "TCP 10.96.0.10:80 rr: 10.244.1.5 . 8080 weight 1", sorted. */
  lines(): string[] {
    return [...this.servers.values()]
      .map(({ server, destinations }) => {
        const list = [...destinations].map(([endpoint, { weight }]) => `${endpoint} weight ${weight}`).sort();
        return `${formatServerKey(server.key)} ${server.scheduler} ${server.flags} ${server.timeoutSeconds}: ${list.join(", ")}`;
      })
      .sort();
  }
}

export class FakeIpvs implements Ipvs {
  readonly #store: IpvsStore;
  readonly #supervision: Supervision;

  constructor(store: IpvsStore, supervision: Supervision) {
    this.#store = store;
    this.#supervision = supervision;
  }

  [Symbol.dispose](): void {}

  virtualServers(): VirtualServer[] {
    const purpose = { operation: "list", object: "virtual servers of IPVS" };
    return this.#list("ipvsServers", purpose, () =>
      Array.from(this.#store.servers.values(), ({ server }) => named(server)),
    );
  }

  deleteVirtualServer({ server }: VirtualServer): void {
    const [error] = this.applyMany([{ do: "deleteServer", key: server?.key ?? "" }]);
    if (error !== undefined) throw error;
  }

  destinations(key: string): ObservedDestination[] {
    const purpose = { operation: "list", object: `destinations of virtual server ${formatServerKey(key)}` };
    return this.#list("ipvsDestinations", purpose, () => {
      const destinations = this.#store.servers.get(key)?.destinations ?? new Map<string, Destination>();
      return Array.from(destinations, ([endpoint, { weight, connections }]) => ({ endpoint, weight, connections }));
    });
  }

  applyMany(changes: readonly IpvsChange[]): (BreakwaterError | undefined)[] {
    return changes.map((change) => {
      const purpose = { operation: "ask IPVS to", object: formatIpvsChange(change) };
      try {
        this.#supervision.run("ipvsChange", purpose, () => apply(this.#store, change, purpose));
        return undefined;
      } catch (error) {
        return error as BreakwaterError;
      }
    });
  }

  tcpTimeout(): number {
    return this.#store.tcpTimeoutSeconds;
  }

  setTcpTimeout(seconds: number): void {
    const purpose = { operation: "set", object: `timeout of IPVS's TCP connections, ${seconds} s` };
    this.#supervision.run("ipvsChange", purpose, () => {
      this.#store.tcpTimeoutSeconds = seconds;
    });
  }

  #list<T>(operation: FakeOperation, purpose: Purpose, body: () => T): T {
    return this.#supervision.list(operation, purpose, body);
  }
}

/** As openIpvs() and loadIpvs() of ../genetlink/ipvs.ts do. */
export function fakeIpvsOpeners(store: IpvsStore, supervision: Supervision) {
  return {
    openIpvs: () => (store.isLoaded ? new FakeIpvs(store, supervision) : undefined),
    loadIpvs: () => {
      supervision.interrupt("loadIpvs", { operation: "find", object: "generic netlink family IPVS" });
      if (!store.hasModule) throw noFamily("IPVS");
      store.isLoaded = true;
      return new FakeIpvs(store, supervision);
    },
  };
}

function named(server: IpvsServer): VirtualServer {
  const { family, address, protocol, port } = parseFrontendKey(server.key);
  return { family, address, protocol: PROTOCOLS[protocol], port, server };
}

function apply({ servers, schedulers }: IpvsStore, change: IpvsChange, purpose: Purpose): void {
  const key = "server" in change ? change.server.key : change.key;
  const found = servers.get(key);
  if (change.do === "addServer") {
    if (found !== undefined) refuse("EEXIST", purpose);
    if (!schedulers.has(change.server.scheduler)) refuse("ENOENT", purpose);
    servers.set(key, { server: change.server, destinations: new Map() });
    return;
  }
  if (found === undefined) refuse("ESRCH", purpose);
  if ("server" in change) {
    if (!schedulers.has(change.server.scheduler)) refuse("ENOENT", purpose);
    found.server = change.server;
  } else if (change.do === "deleteServer") servers.delete(key);
  else {
    const { endpoint, weight } = change.destination;
    const destination = found.destinations.get(endpoint);
    if (change.do === "addDestination") {
      if (destination !== undefined) refuse("EEXIST", purpose);
      found.destinations.set(endpoint, { weight, connections: 0 });
    } else if (destination === undefined) refuse("ENOENT", purpose);
    else if (change.do === "changeDestination") destination.weight = weight;
    else found.destinations.delete(endpoint);
  }
}
