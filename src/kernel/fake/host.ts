/**
 * A machine in memory: network namespaces by path, each with a {@link Kernel} for the program under test and an "other
 * hand" that acts as somebody else would. Nothing of it needs root, and nothing waits.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { BreakwaterError } from "../../model/errors.ts";
import type { NftTable } from "../../model/nft.ts";
import type { NftTableName } from "../../model/nft-changes.ts";
import type { DeviceFeatures } from "../genetlink/ethtool.ts";
import { noFamily } from "../genetlink/genetlink-socket.ts";
import type { Kernel, OpenPod } from "../kernel.ts";
import type { Nftables } from "../nfnetlink/types.ts";
import type { Link, LinkReaper, RouteTable } from "../rtnetlink/types.ts";
import type { Sysctl } from "../sysctl.ts";
import { setNeighbour } from "./entries.ts";
import { Failures, refuse } from "./failures.ts";
import { fakeFeatures } from "./features.ts";
import { fakeIpvsOpeners, type IpvsStore } from "./ipvs.ts";
import { deleteLink } from "./links.ts";
import { FakeNamespace, SOFTWARE_FEATURES } from "./namespace.ts";
import { FakeNftables } from "./nftables.ts";
import { OperationLog } from "./operation-log.ts";
import { FakeRouteTable } from "./route-table.ts";
import { type Supervision, supervise, unsupervised } from "./supervision.ts";
import { fakeSysctl } from "./sysctl.ts";

/** A device that is not ours: what a test gives a node as its underlay. */
export interface HardwareOptions {
  readonly name: string;
  /** @default 1500 */
  readonly mtuBytes?: number;
  readonly mac: string;
  /** "192.168.1.1/24"; the device is up. */
  readonly addresses?: readonly string[];
}

/** Somebody else at the same namespace: never logged, never refused on demand. */
export interface OtherHand {
  readonly routes: RouteTable;
  readonly nftables: Nftables;
  readonly sysctl: Sysctl;
  readonly features: DeviceFeatures;
  readonly ipvs: IpvsStore;
  addHardware(options: HardwareOptions): void;
  /** An entry that ARP made. */
  learnNeighbour(index: number, ip: string, mac: string): void;
  deleteLink(name: string): void;
  /** From here on this is a kernel without ethtool netlink. */
  loseFeatures(): void;
  /** From here on this is a kernel without flowtables. */
  loseFlowtables(): void;
  /** A table as it was committed, with its rules: for a walk through it. */
  tableWithRules(table: NftTableName): NftTable | undefined;
  /** Packets went through a chain, past each of its counters. @throws RangeError where it has none */
  countPackets(table: NftTableName, chain: string, packets: bigint, bytes: bigint): void;
  /** Overruns the event sockets of this namespace. */
  loseEvents(): void;
  /** Keeps events back until {@link OtherHand.releaseEvents}. */
  holdEvents(): void;
  releaseEvents(): void;
}

const FIRST_FD = 1000;

export class FakeHost {
  readonly failures = new Failures();
  readonly log = new OperationLog();
  readonly #namespaces = new Map<string, FakeNamespace>();
  readonly #descriptors = new Map<number, FakeNamespace>();
  /** Each takes a namespace that is new into what it watches. */
  readonly #podEndWatches = new Set<(namespace: FakeNamespace) => void>();
  #nextFd = FIRST_FD;

  /** Makes an empty namespace: a loopback device that is up. */
  addNamespace(path: string): OtherHand {
    if (this.#namespaces.has(path)) throw new RangeError(`There is a namespace ${path} already`);
    const namespace = new FakeNamespace(path);
    this.#namespaces.set(path, namespace);
    for (const join of this.#podEndWatches) join(namespace);
    const other = this.otherHand(path);
    const loopback = namespace.linkNamed("lo");
    if (loopback !== undefined) namespace.setUp(loopback);
    return other;
  }

  /** The namespace dies, and every link in it with its other end. */
  removeNamespace(path: string): void {
    const namespace = this.#get(path);
    this.#namespaces.delete(path);
    for (const link of [...namespace.links.values()]) if (namespace.links.has(link.index)) deleteLink(namespace, link);
  }

  /** The kernel of a node as the program under test sees it. */
  kernel(path: string): Kernel {
    const namespace = this.#get(path);
    const supervision = supervise(path, this.failures, this.log);
    return {
      routes: this.#routes(namespace, supervision),
      nftables: new FakeNftables(namespace.nftables, supervision),
      sysctl: fakeSysctl(namespace, supervision),
      features: fakeFeatures(namespace, supervision),
      reaper: fakeReaper(namespace, supervision),
      watch: (listener) => namespace.events.watch(listener),
      watchPodEnds: (listener) => this.#watchPodEnds(listener),
      namespaceExists: (pod) => this.#namespaces.has(pod),
      openPod: (pod) => this.#openPod(pod, supervision),
      [Symbol.dispose]: () => undefined,
    };
  }

  /** IPVS of a node as the program under test opens it. */
  ipvs(path: string) {
    return fakeIpvsOpeners(this.#get(path).ipvs, supervise(path, this.failures, this.log));
  }

  otherHand(path: string): OtherHand {
    const namespace = this.#get(path);
    const routes = this.#routes(namespace, unsupervised);
    return {
      routes,
      nftables: new FakeNftables(namespace.nftables, unsupervised),
      sysctl: fakeSysctl(namespace, unsupervised),
      features: fakeFeatures(namespace, unsupervised),
      ipvs: namespace.ipvs,
      addHardware: (options) => addHardware(namespace, routes, options),
      learnNeighbour: (index, ip, mac) => {
        setNeighbour(namespace, { index, ip, mac }, { operation: "learn", object: ip }, false);
      },
      deleteLink: (name) => routes.deleteLink(routes.link(name)?.index ?? -1),
      loseFeatures: () => {
        namespace.withoutFeatures = noFamily("ethtool");
      },
      loseFlowtables: () => {
        namespace.hasFlowtables = false;
      },
      tableWithRules: (table) => namespace.nftables.whole(table),
      countPackets: (table, chain, packets, bytes) => namespace.nftables.count(table, chain, packets, bytes),
      loseEvents: () => namespace.events.lose(),
      holdEvents: () => namespace.events.hold(),
      releaseEvents: () => namespace.events.release(),
    };
  }

  /** Resolves when every event that is on its way has been delivered. */
  async settled(): Promise<void> {
    do await nextTurn();
    while ([...this.#namespaces.values()].some(({ events, nftables }) => !events.idle || !nftables.idle));
  }

  #routes(namespace: FakeNamespace, supervision: Supervision): RouteTable {
    return new FakeRouteTable(namespace, supervision, (fd) => this.#descriptors.get(fd));
  }

  #watchPodEnds(listener: (links: Link[]) => void): Disposable {
    const watches: Disposable[] = [];
    const join = (namespace: FakeNamespace) => {
      const watch = namespace.events.watch((events) => {
        const links = events.flatMap((event) => (event.type === "link" && !event.deleted ? [event.link] : []));
        if (links.length > 0) listener(links);
      });
      watches.push(watch);
    };
    for (const namespace of this.#namespaces.values()) join(namespace);
    this.#podEndWatches.add(join);
    return {
      [Symbol.dispose]: () => {
        this.#podEndWatches.delete(join);
        for (const watch of watches) watch[Symbol.dispose]();
      },
    };
  }

  #openPod(path: string, supervision: Supervision): OpenPod {
    const purpose = { operation: "open network namespace", object: path };
    supervision.interrupt("openPod", purpose);
    const namespace = this.#namespaces.get(path);
    if (namespace === undefined) {
      const details = { ...purpose, errno: "ENOENT" };
      throw new BreakwaterError("BW_NETNS", `Cannot open network namespace ${path}: ENOENT`, details);
    }
    const fd = this.#nextFd++;
    this.#descriptors.set(fd, namespace);
    const inside = supervise(path, this.failures, this.log);
    return {
      fd,
      enter: (body) => body({ routes: this.#routes(namespace, inside), sysctl: fakeSysctl(namespace, inside) }),
      [Symbol.dispose]: () => void this.#descriptors.delete(fd),
    };
  }

  /** Descriptors of namespaces that somebody forgot to close. */
  get openDescriptors(): number {
    return this.#descriptors.size;
  }

  #get(path: string): FakeNamespace {
    const namespace = this.#namespaces.get(path);
    if (namespace === undefined) throw new RangeError(`There is no namespace ${path}`);
    return namespace;
  }
}

function addHardware(namespace: FakeNamespace, routes: RouteTable, options: HardwareOptions): void {
  const { name, mac, mtuBytes = 1500, addresses = [] } = options;
  const index = namespace.nextIndex();
  const state = { kind: undefined, up: false, group: 0, master: undefined, vxlan: undefined, peer: undefined };
  const features = SOFTWARE_FEATURES;
  namespace.addLink({ ...state, index, name, mac, mtuBytes, features, noLinkLocal: false });
  routes.changeLink(index, { up: true });
  for (const text of addresses) {
    const slash = text.indexOf("/");
    routes.addAddress({ index, address: text.slice(0, slash), length: Number(text.slice(slash + 1)) });
  }
}

function fakeReaper(namespace: FakeNamespace, supervision: Supervision): LinkReaper {
  return {
    async deleteGroup(group) {
      await nextTurn();
      const purpose = { operation: "delete", object: `links of group ${group}` };
      supervision.run("deleteGroup", purpose, () => {
        if (group === 0) refuse("EPERM", purpose);
        for (const link of [...namespace.links.values()]) {
          if (link.group === group && namespace.links.has(link.index)) deleteLink(namespace, link);
        }
      });
    },
    [Symbol.dispose]: () => undefined,
  };
}
