/**
 * Virtual servers of IPVS and the device with the addresses of Services, as the kernel has them: read once, then kept by
 * our own steps. What comes is opened before the rules lead there, what goes is closed behind them, and deleted when its
 * connections have ended. Without a configuration everything goes: another backend serves.
 */
import { closeServer, draining, drainServer, openServer, serverBehind, type WantedServer } from "../../diff/ipvs.ts";
import type { Ipvs } from "../../kernel/genetlink/ipvs.ts";
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import type { Sysctl } from "../../kernel/sysctl.ts";
import type { Clock } from "../../kube/clock.ts";
import type { BreakwaterError } from "../../model/errors.ts";
import type { Ip } from "../../model/ip.ts";
import { formatServerKey, type IpvsChange, type ObservedServer, parseFrontendKey } from "../../model/ipvs.ts";
import type { IpvsConfig } from "../../model/node-config.ts";
import { planIpvsServer } from "../../plan/services/ipvs.ts";
import type { ServiceLedger } from "../../plan/services/ledger.ts";
import type { Log } from "../log.ts";
import { NO_IPVS, type ObservedIpvs, observeInPieces, observeIpvs } from "./ipvs-observation.ts";
import { checkScheduler } from "./ipvs-scheduler.ts";
import { missingTimeout, type ReadSetting, readSettings } from "./ipvs-settings.ts";
import { ServiceAddresses } from "./service-addresses.ts";

/** What serving through IPVS needs of the kernel. */
export interface IpvsKernel {
  /** Undefined where the kernel has no IPVS now; loads no module. */
  readonly openIpvs: () => Ipvs | undefined;
  /** @throws BreakwaterError BW_GENETLINK_FAMILY */
  readonly loadIpvs: () => Ipvs;
  readonly routes: RouteTable;
  readonly sysctl: Sysctl;
  /** As `uname -r` says it. */
  readonly release: string;
}

export interface IpvsServicesOptions {
  readonly kernel: IpvsKernel;
  readonly ledger: ServiceLedger;
  /** Absent: Services are served otherwise, and what is there ends. */
  readonly config: IpvsConfig | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Where another backend serves, connections are waited for so long. */
const DEFAULT_DRAIN_SECONDS = 900;

export class IpvsServices implements Disposable {
  readonly #options: IpvsServicesOptions;
  #ipvs: Ipvs | undefined;
  #servers = new Map<string, ObservedServer>();
  readonly #addresses: ServiceAddresses;
  /** By server and endpoint: since when it waits for the end of its connections, by the clock. */
  readonly #waiting = new Map<string, ReadonlyMap<string, number>>();
  /** Keys of servers with destinations that wait. */
  readonly #draining = new Set<string>();
  /** `KEY > ENDPOINT`: destinations that the kernel does not take. Tried again when it is read. */
  readonly #refused = new Set<string>();
  #hasScheduler = false;
  /** Keys of frontends whose virtual server is somebody else's. */
  #foreign: ReadonlySet<string> = new Set();

  constructor(options: IpvsServicesOptions) {
    this.#options = options;
    this.#addresses = new ServiceAddresses(options.kernel.routes);
  }

  [Symbol.dispose](): void {
    this.#ipvs?.[Symbol.dispose]();
    this.#ipvs = undefined;
  }

  /** Keys of the virtual servers that are there. */
  keys(): Iterable<string> {
    return this.#servers.keys();
  }

  server(key: string): ObservedServer | undefined {
    return this.#servers.get(key);
  }

  /** Addresses that the device has. */
  bound(): ReadonlySet<Ip> {
    return this.#addresses.bound;
  }

  /** Endpoints of the frontend that get new connections. */
  endpoints(key: string): string[] {
    const destinations = this.#servers.get(key)?.destinations ?? new Map<string, number>();
    return [...destinations].flatMap(([endpoint, weight]) => (weight > 0 ? [endpoint] : []));
  }

  /** What of a Service (`namespace/name`) the kernel does not take, a sentence each, sorted. */
  problems(service: string): string[] {
    const { ledger } = this.#options;
    const refused = [...this.#refused].flatMap((name) => {
      const [key = "", endpoint = ""] = name.split(" > ");
      const owner = ledger.frontend(key)?.service.split(":")[0];
      return owner === service ? [`IPVS does not take endpoint ${endpoint.replace(" . ", " port ")}`] : [];
    });
    return [...new Set(refused)].sort();
  }

  /** True when connections are waited for. */
  get isDraining(): boolean {
    return this.#draining.size > 0;
  }

  /** Takes the kernel's state as it is. @throws BreakwaterError */
  read(): void {
    const { config, kernel } = this.#options;
    this.#ipvs ??= config === undefined ? kernel.openIpvs() : kernel.loadIpvs();
    if (config !== undefined) this.#prepareKernel(config);
    this.#addresses.read();
    this.#refused.clear();
    const { servers, foreign } =
      this.#ipvs === undefined ? NO_IPVS() : observeIpvs(this.#ipvs, (key) => this.#takes(key));
    this.#servers = servers;
    this.#noteForeign(foreign.keys());
    this.#draining.clear();
    for (const key of this.#servers.keys()) this.#noteDraining(key);
  }

  /** What the kernel has now, whatever we believe; stops where others may run. @throws BreakwaterError */
  *observe(): Generator<undefined, { readonly servers: ObservedIpvs["servers"]; readonly bound: ReadonlySet<Ip> }> {
    const { servers } =
      this.#ipvs === undefined ? NO_IPVS() : yield* observeInPieces(this.#ipvs, (key) => this.#takes(key));
    return { servers, bound: this.#addresses.observe() };
  }

  /** Settings that are not as they have to be. */
  wrongSettings(): Pick<ReadSetting, "name" | "value" | "found">[] {
    const timeout = this.#missingTimeout();
    const short = timeout && { name: "timeout tcp", value: `${timeout.seconds}`, found: `${timeout.previous}` };
    return [...this.#wrongSysctls(), ...(short === undefined ? [] : [short])];
  }

  #wrongSysctls(): ReadSetting[] {
    const { config, kernel } = this.#options;
    return config === undefined ? [] : readSettings(kernel).filter(({ isRight }) => !isRight);
  }

  #missingTimeout() {
    const { config, kernel } = this.#options;
    return config === undefined ? undefined : missingTimeout(this.#ipvs, kernel.sysctl);
  }

  /** Makes what the rules are about to lead to. @returns steps that were taken @throws BreakwaterError */
  open(keys: Iterable<string>): number {
    const changes: IpvsChange[] = [];
    for (const key of keys) changes.push(...openServer(this.#servers.get(key), this.wanted(key)));
    this.#apply(changes);
    return changes.length + this.#addresses.bind(this.#wantedAddresses(keys));
  }

  /** Gives up what the rules lead to no more. @returns steps that were taken @throws BreakwaterError */
  close(keys: Iterable<string>): number {
    const changes: IpvsChange[] = [];
    for (const key of keys) {
      const alive = this.#options.ledger.frontend(key)?.endpoints;
      changes.push(...closeServer(this.#servers.get(key), this.wanted(key), alive));
    }
    this.#apply(changes);
    for (const key of keys) this.#noteDraining(key);
    return changes.length + this.#release(keys);
  }

  /** Deletes what has no connections any more, or waited too long for their end. @throws BreakwaterError */
  drain(): void {
    if (this.#ipvs === undefined) return;
    const keys = [...this.#draining];
    const changes: IpvsChange[] = [];
    for (const key of keys) {
      const observed = this.#servers.get(key);
      if (observed === undefined) continue;
      const overdue = this.#overdue(key, observed);
      changes.push(...drainServer(observed, this.wanted(key), this.#ipvs.destinations(key), overdue));
    }
    this.#apply(changes);
    for (const key of keys) this.#noteDraining(key);
    this.#release(keys);
  }

  /** The virtual server that the frontend is to have; none where somebody else's is in the way. */
  wanted(key: string): WantedServer | undefined {
    return this.#foreign.has(key) ? undefined : this.#planned(key);
  }

  #planned(key: string): WantedServer | undefined {
    const { config, ledger } = this.#options;
    if (config === undefined) return undefined;
    const frontend = ledger.frontend(key);
    const server = planIpvsServer(frontend, config.scheduler);
    const endpoints = frontend?.endpoints ?? [];
    if (server === undefined || this.#refused.size === 0) return server && { server, endpoints };
    return { server, endpoints: endpoints.filter((endpoint) => !this.#refused.has(`${key} > ${endpoint}`)) };
  }

  /** Whether the frontend's address has to be on the device: new connections ask for it, or old ones end there. */
  isAddressNeeded(key: string): boolean {
    const { config, ledger } = this.#options;
    if (config !== undefined && ledger.frontend(key)?.ipvs?.bind === true) return true;
    return this.#servers.has(key) && this.#addresses.bound.has(parseFrontendKey(key).address);
  }

  #prepareKernel({ scheduler }: IpvsConfig): void {
    const { kernel, log } = this.#options;
    for (const { name, value, found } of this.#wrongSysctls()) {
      kernel.sysctl.write(name, value);
      log.info({ sysctl: name, from: found, to: value }, "a setting of IPVS is put right");
    }
    const timeout = this.#missingTimeout();
    if (timeout !== undefined) {
      this.#ipvs?.setTcpTimeout(timeout.seconds);
      log.info(
        { from: timeout.previous, to: timeout.seconds },
        "IPVS remembers silent connections for longer, seconds",
      );
    }
    if (this.#ipvs !== undefined && !this.#hasScheduler) checkScheduler(this.#ipvs, scheduler);
    this.#hasScheduler = true;
    this.#addresses.createDevice();
  }

  /** kube-proxy's virtual servers become ours where we replace it: their connections go on. */
  #takes(key: string): boolean {
    return this.#options.config?.adopt === true && this.#planned(key) !== undefined;
  }

  #noteForeign(keys: Iterable<string>): void {
    const inTheWay = [...keys].filter((key) => this.#planned(key) !== undefined);
    const isNew = inTheWay.some((key) => !this.#foreign.has(key));
    this.#foreign = new Set(inTheWay);
    if (!isNew) return;
    this.#options.log.warn(
      { virtualServers: inTheWay.length, first: formatServerKey(inTheWay[0] ?? "") },
      "somebody else's virtual servers have addresses of Services, and stay as they are; if they are kube-proxy's, use --replace-kube-proxy, else delete them: ipvsadm -D",
    );
  }

  #wantedAddresses(keys: Iterable<string>): Set<Ip> {
    const { config, ledger } = this.#options;
    const wanted = new Set<Ip>();
    if (config === undefined) return wanted;
    for (const key of keys) {
      const frontend = ledger.frontend(key);
      if (frontend?.ipvs?.bind === true) wanted.add(frontend.address);
      this.#addresses.hold(key, this.isAddressNeeded(key));
    }
    return wanted;
  }

  /** @returns addresses that left the device */
  #release(keys: Iterable<string>): number {
    for (const key of keys) this.#addresses.hold(key, this.isAddressNeeded(key));
    const released = this.#addresses.release();
    if (this.#options.config === undefined && this.#servers.size === 0) this.#addresses.deleteDevice();
    return released;
  }

  /** What is done is noted, whatever became of the rest. @throws the first error */
  #apply(changes: readonly IpvsChange[]): void {
    if (changes.length === 0 || this.#ipvs === undefined) return;
    const results = this.#ipvs.applyMany(changes);
    let failure: BreakwaterError | undefined;
    for (const [i, change] of changes.entries()) {
      const error = results[i];
      if (error === undefined) this.#settle(change);
      else if (isRefusal(change, error)) this.#leaveOut(change, error);
      // Also what was there or gone already: what we believe is wrong then, and is read anew.
      else failure ??= error;
    }
    if (failure !== undefined) throw failure;
  }

  /** One endpoint that IPVS does not take keeps nobody else from being served. */
  #leaveOut(change: DestinationChange, error: Error): void {
    const { key, destination } = change;
    this.#refused.add(`${key} > ${destination.endpoint}`);
    this.#options.log.warn(
      { virtualServer: formatServerKey(key), endpoint: destination.endpoint, error: error.message },
      "IPVS does not take an endpoint, a broadcast address for one: the Service is served without it",
    );
  }

  #settle(change: IpvsChange): void {
    const key = "server" in change ? change.server.key : change.key;
    const behind = serverBehind(this.#servers.get(key), change);
    if (behind === undefined) this.#servers.delete(key);
    else this.#servers.set(key, behind);
  }

  #noteDraining(key: string): void {
    const observed = this.#servers.get(key);
    const wanted = this.wanted(key);
    const waiting = new Set(observed && draining(observed, wanted));
    const isLeft = waiting.size > 0 || (observed !== undefined && wanted === undefined);
    if (isLeft) this.#draining.add(key);
    else this.#draining.delete(key);
    const [known, now] = [this.#waiting.get(key), this.#options.clock.now()];
    if (waiting.size === 0) this.#waiting.delete(key);
    else this.#waiting.set(key, new Map(Array.from(waiting, (each) => [each, known?.get(each) ?? now])));
  }

  #overdue(key: string, { destinations }: ObservedServer): Set<string> {
    const { clock, config } = this.#options;
    const since = clock.now() - 1000 * (config?.drainSeconds ?? DEFAULT_DRAIN_SECONDS);
    const waiting = this.#waiting.get(key);
    const isOverdue = (endpoint: string) => (waiting?.get(endpoint) ?? Number.POSITIVE_INFINITY) <= since;
    return new Set([...destinations.keys()].filter(isOverdue));
  }
}

type DestinationChange = Extract<IpvsChange, { destination: unknown }>;

/** ip_vs_new_dest() takes addresses of this node and of others, none of a broadcast or of a group. */
function isRefusal(change: IpvsChange, error: BreakwaterError): change is DestinationChange {
  return change.do === "addDestination" && error.errno === "EINVAL";
}
