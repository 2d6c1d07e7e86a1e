/**
 * A Service proxy over the kernel in memory, on a clock that tests turn by hand: Services and slices come from a list,
 * flows are tracked, and what was asked of the kernel is in one log.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { Registry } from "prom-client";
import { FakeConntrack } from "../../../kernel/fake/conntrack.ts";
import { FakeHost, type OtherHand } from "../../../kernel/fake/host.ts";
import { supervise } from "../../../kernel/fake/supervision.ts";
import { ManualClock } from "../../../kube/testing/manual-clock.ts";
import { IPVS_DEVICE, SERVICE_TABLES } from "../../../model/marks.ts";
import { DEFAULT_SERVICE_CONFIG, type ServiceConfig } from "../../../model/node-config.ts";
import { type ClusterService, type EndpointSlice, serviceKey } from "../../../model/service.ts";
import type { ServiceContext } from "../../../plan/services/frontends.ts";
import { node1 } from "../../../plan/services/testing/objects.ts";
import type { Log } from "../../log.ts";
import type { IpvsKernel } from "../ipvs-services.ts";
import { createServiceMetrics } from "../service-metrics.ts";
import { ServiceProxy } from "../service-proxy.ts";

const NODE = "/run/netns/node1";
/** Long enough for slots, chains and tables that were given up to be gone. */
const SWEPT_MS = 5000;

export interface ServiceState {
  readonly services: readonly ClusterService[];
  readonly slices: readonly EndpointSlice[];
}

export const NO_SERVICES: ServiceState = { services: [], slices: [] };

/** What the watch of the API knows, and what of it changed. */
export class FakeServiceSource {
  #services = new Map<string, ClusterService>();
  #slices = new Map<string, readonly EndpointSlice[]>();
  #changed = new Set<string>();

  services = (): ReadonlyMap<string, ClusterService> => this.#services;
  slicesOf = (key: string): readonly EndpointSlice[] => this.#slices.get(key) ?? [];
  takeChanged = (): ReadonlySet<string> => {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  };

  /** Becomes this; whatever differs has changed. */
  set({ services, slices }: ServiceState): void {
    const before = [this.#services, this.#slices] as const;
    this.#services = new Map(services.map((service) => [serviceKey(service), service]));
    this.#slices = new Map(
      Object.entries(Object.groupBy(slices, (slice) => `${slice.namespace}/${slice.service}`)) as [
        string,
        EndpointSlice[],
      ][],
    );
    const keys = new Set([...before[0].keys(), ...before[1].keys(), ...this.#services.keys(), ...this.#slices.keys()]);
    for (const key of keys) {
      const same =
        isDeepStrictEqual(before[0].get(key), this.#services.get(key)) &&
        isDeepStrictEqual(before[1].get(key) ?? [], this.slicesOf(key));
      if (!same) this.#changed.add(key);
    }
  }

  /** One Service comes or changes with its slices; cheap where there are many. */
  put(service: ClusterService, slices: readonly EndpointSlice[]): void {
    const key = serviceKey(service);
    this.#services.set(key, service);
    this.#slices.set(key, slices);
    this.#changed.add(key);
  }
}

let usualConfig: Partial<ServiceConfig> = {};

/** What rigs from here on have: the same tests stand for each backend. */
export function rigWith(config: Partial<ServiceConfig>): void {
  usualConfig = config;
}

/** Rigs that share a kernel stand for one agent after the other on one machine. */
export class ProxyRig implements Disposable {
  readonly host: FakeHost;
  readonly other: OtherHand;
  readonly conntrack: FakeConntrack;
  readonly clock = new ManualClock();
  readonly registry = new Registry();
  readonly metrics = createServiceMetrics(this.registry);
  readonly source = new FakeServiceSource();
  /** Warnings and errors. */
  readonly problems: string[] = [];
  /** Services of which was told behind commits. */
  readonly told: string[][] = [];
  readonly config: ServiceConfig;
  wallMs = Date.parse("2026-06-01T00:00:00Z");
  context: ServiceContext = node1;
  proxy: ServiceProxy;

  constructor(config: Partial<ServiceConfig> = {}, before?: ProxyRig) {
    const serviceCidrs = ["10.96.0.0/16", "fd00:10:96::/112"];
    this.config = { ...DEFAULT_SERVICE_CONFIG, serviceCidrs, ...usualConfig, ...config };
    if (this.config.ipvs !== undefined) this.context = { ...node1, ipvs: { elsewhere: [] } };
    this.host = before?.host ?? new FakeHost();
    this.other = before?.other ?? this.host.addNamespace(NODE);
    this.conntrack = before?.conntrack ?? new FakeConntrack(supervise(NODE, this.host.failures, this.host.log));
    this.proxy = this.#makeProxy();
  }

  [Symbol.dispose](): void {
    this.proxy[Symbol.dispose]();
  }

  #makeProxy(): ServiceProxy {
    const problem = (_: object, message: string) => void this.problems.push(message);
    const log: Log = { debug: () => undefined, info: () => undefined, warn: problem, error: problem };
    const { nftables } = this.host.kernel(NODE);
    const { conntrack, source, config, metrics, clock } = this;
    return new ServiceProxy({
      ...{ nftables, conntrack, ipvs: this.ipvsKernel(), source, config, log, metrics, clock },
      wallClock: () => this.wallMs,
      onCommit: (keys) => this.told.push([...keys].sort()),
    });
  }

  ipvsKernel(): IpvsKernel {
    const { routes, sysctl } = this.host.kernel(NODE);
    return { ...this.host.ipvs(NODE), routes, sysctl, release: "6.1.0-50-amd64" };
  }

  /** The agent is killed, and another one begins with what the kernel has. */
  restart(): void {
    this.proxy[Symbol.dispose]();
    this.proxy = this.#makeProxy();
    this.proxy.setNode(this.context);
  }

  /** The API says this. */
  set(state: ServiceState): void {
    this.source.set(state);
    this.proxy.request();
  }

  /** The node is known, and the API says this. */
  start(state: ServiceState): void {
    this.source.set(state);
    this.proxy.setNode(this.context);
  }

  /** Lets time go by, with everything that happens in it. */
  async elapse(ms: number): Promise<void> {
    const end = this.clock.now() + ms;
    do {
      await this.host.settled();
      for (let turn = 0; turn < 5; turn++) await nextTurn();
      const [next = ms] = this.clock.delays();
      const step = Math.min(next, end - this.clock.now());
      this.wallMs += step;
      this.clock.advance(step);
    } while (this.clock.now() < end);
    await this.host.settled();
  }

  /** Lets all come to rest: retries, and what is deleted behind them. */
  async settle(): Promise<void> {
    await this.elapse(SWEPT_MS);
    while (this.proxy.failure !== undefined && this.host.failures.pending > 0) await this.elapse(SWEPT_MS);
    await this.elapse(SWEPT_MS);
  }

  /** What was asked of the kernel since the last time: "commit ip breakwater: addElements, …". */
  operations(): string[] {
    return this.host.log.takeLines();
  }

  /** Transactions since the last time. */
  commits(): string[] {
    return this.operations().filter((line) => line.startsWith("commit"));
  }

  /** Addresses on the device of Services, sorted; undefined where there is none. */
  bound(): string[] | undefined {
    const link = this.other.routes.link(IPVS_DEVICE);
    if (link === undefined) return undefined;
    const own = this.other.routes.addresses().filter(({ index, scope }) => index === link.index && scope !== "link");
    return own.map(({ address }) => address).sort();
  }

  /**
   * All that the tables of Services hold; slots of endpoints without their numbers, for any order serves. And all that
   * IPVS has.
   */
  tables(): Record<string, unknown> {
    const described = ([4, 6] as const).map((family) => {
      const table = this.other.nftables.table(SERVICE_TABLES[family]);
      const sets = table?.sets.map(({ name, elements }) => [name, elements.map(withoutSlot(name)).sort()] as const);
      const chains = table?.chains.map(
        ({ name, base, fingerprints }) => [name, JSON.stringify([base, fingerprints])] as const,
      );
      return [
        family,
        table && { sets: Object.fromEntries(sets ?? []), chains: Object.fromEntries((chains ?? []).toSorted()) },
      ];
    });
    const [servers, bound] = [this.other.ipvs.lines(), this.bound()];
    const virtual = servers.length === 0 && bound === undefined ? {} : { servers, bound };
    return { ...Object.fromEntries(described), ...virtual };
  }

  /** Elements of a set of the table of IPv4. */
  elements(set: string, family: 4 | 6 = 4): readonly string[] {
    const table = this.other.nftables.table(SERVICE_TABLES[family]);
    return table?.sets.find(({ name }) => name === set)?.elements ?? [];
  }
}

function withoutSlot(set: string): (element: string) => string {
  return set.endsWith("endpoints") ? (element) => element.replace(/ \. \d+ : /, " : ") : (element) => element;
}

/** The tables of an agent that starts with this, on a machine of its own. */
export async function freshTables(state: ServiceState, context?: ServiceContext): Promise<Record<string, unknown>> {
  using rig = new ProxyRig();
  if (context !== undefined) rig.context = context;
  rig.start(state);
  await rig.settle();
  return rig.tables();
}
