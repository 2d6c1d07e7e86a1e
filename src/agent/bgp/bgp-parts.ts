/** Everything about BGP on a node, put together: the plan, BIRD, and what BIRD says. docs/design/bgp.md. */
import type { Registry } from "prom-client";
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import type { BgpWanted } from "../../kube/bgp-source.ts";
import { type Clock, systemClock } from "../../kube/clock.ts";
import { type BgpClusterConfig, type BgpPlan, DEFAULT_BGP_CONFIG } from "../../model/bgp.ts";
import type { BgpReport, BgpSessionReport } from "../../model/bgp-report.ts";
import type { BgpVerification } from "../../model/bgp-verification.ts";
import type { ClusterNode } from "../../model/cluster.ts";
import { messageOf } from "../../model/errors.ts";
import type { Prefix } from "../../model/prefix.ts";
import type { DesiredState, NodeFacts, Problem } from "../../model/state.ts";
import type { AnnouncementPlan } from "../../plan/bgp/announcements.ts";
import { formatBirdConfig } from "../../plan/bgp/config-text.ts";
import { planBgp } from "../../plan/bgp/plan.ts";
import { Remembered } from "../../plan/memo.ts";
import type { Log } from "../log.ts";
import type { BgpApi } from "./bgp-api.ts";
import { type BgpMetrics, createBgpMetrics } from "./bgp-metrics.ts";
import { verifyBgp } from "./bgp-verifier.ts";
import { bgpRoutes } from "./bird-cleanup.ts";
import { birdPaths } from "./bird-process.ts";
import type { BirdProtocol } from "./bird-status.ts";
import { BirdSupervisor } from "./bird-supervisor.ts";

const NO_WISHES: BgpWanted = {
  settings: DEFAULT_BGP_CONFIG,
  peers: [],
  passwords: new Map(),
  withoutPassword: new Map(),
};

export interface BgpPartsOptions {
  readonly nodeName: string;
  readonly stateDir: string;
  readonly routes: Pick<RouteTable, "routes">;
  readonly nodes: () => ReadonlyMap<string, ClusterNode> | undefined;
  readonly facts: () => NodeFacts;
  /** The node's own plan; undefined while there is none. */
  readonly state: () => DesiredState | undefined;
  /** What the operator asks for; absent: nothing. While it is not known, what is configured stays. */
  readonly api?: BgpApi;
  /** Which Service addresses are announced; undefined while Services are not known. Absent: the node serves none. */
  readonly announcements?: (advertise: BgpClusterConfig["advertise"]) => AnnouncementPlan | undefined;
  readonly registry: Registry;
  readonly log: Log;
  /** The node may have become ready. */
  readonly onChange: () => void;
  /** @default systemClock */
  readonly clock?: Clock;
}

/** How often BIRD is asked how its sessions are. */
const LOOK_MS = 1000;
/** A node is ready with its sessions; one that does not come must not keep it from being so, milliseconds. */
const PATIENCE_MS = 15_000;
/** Changes of Services are gathered this long: an endpoint that terminates is withdrawn within it. */
const GATHER_MS = 50;

export class BgpParts {
  readonly #options: BgpPartsOptions;
  readonly #clock: Clock;
  readonly #supervisor: BirdSupervisor;
  readonly #metrics: BgpMetrics;
  readonly #planned = new Remembered<BgpPlan>();
  #cancelSoon: (() => void) | undefined;
  /** How long the last plan behind {@link followSoon} took. */
  #tookMs = 0;
  #announced: AnnouncementPlan | undefined;
  /** The same list while it says the same. */
  #serviceAddresses: readonly Prefix[] | undefined;
  readonly #established = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  #plan: BgpPlan | undefined;
  #configuredAt: number | undefined;
  #isReady = false;
  #sessions: readonly BgpSessionReport[] = [];
  #looking: Promise<void> | undefined;

  constructor(options: BgpPartsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#metrics = createBgpMetrics(options.registry);
    this.#supervisor = new BirdSupervisor({
      paths: birdPaths(options.stateDir),
      clock: this.#clock,
      log: options.log,
      hasRoutes: () => bgpRoutes(options.routes).length > 0,
    });
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  /** The cluster or the node may have changed. */
  follow(): void {
    const plan = this.#makePlan();
    if (plan === undefined || plan === this.#plan) return;
    this.#tell(plan.problems);
    this.#plan = plan;
    this.#supervisor.configure(formatBirdConfig(plan, birdPaths(this.#options.stateDir)));
  }

  /** Services or endpoints changed: what changes together is one plan, and planning takes a tenth of the time at most. */
  followSoon(): void {
    this.#cancelSoon ??= this.#clock.schedule(Math.max(GATHER_MS, 9 * this.#tookMs), () => {
      this.#cancelSoon = undefined;
      const start = this.#clock.now();
      this.follow();
      this.#tookMs = this.#clock.now() - start;
    });
  }

  /** Why the node's pods would have no way to others; undefined when they have. */
  notReadyReason(): string | undefined {
    if (this.#plan === undefined)
      return "BGP is not planned: nodes, BGPPeers, Secrets or the BGPConfiguration are not known";
    if (this.#isReady) return undefined;
    return this.#supervisor.failure ?? "BGP sessions are not established yet";
  }

  get problems(): readonly Problem[] {
    return this.#plan?.problems ?? [];
  }

  /** @returns the document behind /bgp or /bgp/verify */
  document(url: URL): Promise<BgpReport | BgpVerification> | undefined {
    if (url.pathname === "/bgp/verify") return this.#verify();
    return url.pathname === "/bgp" ? this.#report() : undefined;
  }

  /** Called when metrics are read. */
  collect(): void {
    const { up, prefixes, birdUp, birdRestarts } = this.#metrics;
    up.reset();
    prefixes.reset();
    for (const { peer, kind, state, channels } of this.#sessions) {
      up.set({ peer, kind }, state === "Established" ? 1 : 0);
      for (const { family, imported, exported } of channels) {
        prefixes.set({ peer, family: `ipv${family}`, direction: "in" }, imported);
        prefixes.set({ peer, family: `ipv${family}`, direction: "out" }, exported);
      }
    }
    birdUp.set(this.#supervisor.failure === undefined ? 1 : 0);
    birdRestarts.set(this.#supervisor.restarts);
  }

  /** BIRD and its routes stay. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#cancelSoon?.();
    await this.#options.api?.stop();
    await this.#supervisor.stop();
    await this.#looking;
  }

  #makePlan(): BgpPlan | undefined {
    const { nodeName, nodes, facts, state, api } = this.#options;
    const [all, own, desired] = [nodes(), nodes()?.get(nodeName), state()];
    if (all === undefined || own === undefined || desired === undefined) return undefined;
    // The node's labels may be others.
    api?.source.follow();
    const wanted = api === undefined ? NO_WISHES : api.source.wanted();
    if (wanted === undefined || !this.#announce(wanted.settings.advertise)) return undefined;
    const { settings, peers, passwords, withoutPassword } = wanted;
    const serviceAddresses = this.#serviceAddresses;
    const known = facts();
    const labels = settings.routeReflectors === undefined ? undefined : all;
    const inputs = [
      own,
      desired.paths,
      desired.podCidrs,
      JSON.stringify(known.interfaces),
      settings,
      peers,
      passwords,
      withoutPassword,
      labels,
      serviceAddresses,
    ];
    return this.#planned.get(inputs, () =>
      planBgp({
        ...{ own, facts: known, nodes: all, state: desired, settings, peers, passwords, withoutPassword },
        ...(serviceAddresses === undefined ? {} : { serviceAddresses }),
      }),
    );
  }

  /** @returns false while Services are not known: to announce less would take from peers what they have */
  #announce(advertise: BgpClusterConfig["advertise"]): boolean {
    const { announcements } = this.#options;
    const { clusterIPs, externalIPs, loadBalancerIPs } = advertise;
    if (announcements === undefined || !(clusterIPs || externalIPs || loadBalancerIPs)) {
      this.#announced = undefined;
      this.#serviceAddresses = undefined;
      return true;
    }
    const plan = announcements(advertise);
    if (plan === undefined) return false;
    this.#announced = plan;
    const prefixes = plan.announced.map(({ prefix }) => prefix);
    if (this.#serviceAddresses?.join() !== prefixes.join()) this.#serviceAddresses = prefixes;
    return true;
  }

  #tell(problems: readonly Problem[]): void {
    const before = new Set(this.problems.map(({ message }) => message));
    for (const { code, object, message, remedy } of problems) {
      if (!before.has(message)) this.#options.log.warn({ code, object, remedy }, message);
    }
  }

  /** Asks BIRD; one question at a time. */
  #look(): Promise<void> {
    this.#looking ??= this.#ask().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #ask(): Promise<void> {
    let protocols: readonly BirdProtocol[] = [];
    try {
      protocols = await this.#supervisor.protocols();
    } catch (error) {
      this.#options.log.warn({ error: messageOf(error) }, "BIRD does not say how its sessions are");
    }
    this.#sessions = this.#describe(protocols);
    this.#noticeChanges();
    this.#options.api?.tell(this.#sessions, this.problems);
    if (!this.#isReady) this.#becomeReady();
  }

  #becomeReady(): void {
    if (this.#plan === undefined || this.#supervisor.failure !== undefined) return;
    this.#configuredAt ??= this.#clock.now();
    const isLate = this.#clock.now() - this.#configuredAt > PATIENCE_MS;
    if (!isLate && this.#sessions.some(({ state }) => state !== "Established")) return;
    this.#isReady = true;
    this.#options.onChange();
  }

  #describe(protocols: readonly BirdProtocol[]): BgpSessionReport[] {
    const byName = new Map(protocols.map((protocol) => [protocol.name, protocol]));
    return (this.#plan?.sessions ?? []).map(({ protocol, kind, peer, address, asNumber }) => {
      const said = byName.get(protocol);
      return {
        protocol,
        kind,
        peer,
        address,
        asNumber,
        state: said?.bgpState ?? "Unknown",
        since: said?.since ?? null,
        channels: said?.channels ?? [],
        lastError: said?.lastError ?? null,
      };
    });
  }

  #noticeChanges(): void {
    const wanted = new Set(this.#sessions.map(({ protocol }) => protocol));
    for (const protocol of this.#established) if (!wanted.has(protocol)) this.#established.delete(protocol);
    for (const { protocol, peer, address, state, lastError } of this.#sessions) {
      const was = this.#established.has(protocol);
      const is = state === "Established";
      if (was === is) continue;
      if (is) {
        this.#established.add(protocol);
        this.#options.log.info({ peer, address }, "BGP session established");
      } else {
        this.#established.delete(protocol);
        this.#metrics.flaps.inc({ peer });
        this.#options.log.warn({ peer, address, state, lastError }, "BGP session lost");
      }
    }
  }

  #verify(): Promise<BgpVerification> {
    const { nodeName, routes, state } = this.#options;
    const ask = (command: string) => this.#supervisor.ask(command);
    return verifyBgp({ nodeName, plan: this.#plan, state: state(), routes, ask });
  }

  async #report(): Promise<BgpReport> {
    await this.#look();
    const { failure, version, pid, restarts } = this.#supervisor;
    return {
      node: this.#options.nodeName,
      routerId: this.#plan?.routerId ?? null,
      bird: { running: version !== undefined, version: version ?? null, pid: pid ?? null, restarts },
      failure: failure ?? null,
      announced: this.#plan?.podCidrs ?? [],
      services: this.#announced?.announced ?? [],
      withheld: this.#announced?.withheld ?? [],
      sessions: this.#sessions,
      problems: this.problems,
    };
  }
}
