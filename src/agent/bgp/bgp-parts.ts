/**
 * Everything about BGP on a node, put together: the plan, BIRD, and what BIRD says. With `--routing bgp` BIRD makes the
 * routes between nodes; in other modes it runs beside them where a BGPPeer selects this node. docs/design/bgp.md.
 */
import { readFileSync } from "node:fs";
import type { Registry } from "prom-client";
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import { type Clock, systemClock } from "../../kube/clock.ts";
import type { BgpPlan } from "../../model/bgp.ts";
import type { BgpPrefixReport, BgpReport } from "../../model/bgp-report.ts";
import type { BgpDifference, BgpVerification } from "../../model/bgp-verification.ts";
import { messageOf } from "../../model/errors.ts";
import type { Problem } from "../../model/state.ts";
import { formatBirdConfig, withKernelRunning } from "../../plan/bgp/config-text.ts";
import type { Log } from "../log.ts";
import type { BgpApi } from "./bgp-api.ts";
import { type BgpMetrics, createBgpMetrics } from "./bgp-metrics.ts";
import { BgpPlanner, type BgpPlannerOptions } from "./bgp-planner.ts";
import { verifyBgp } from "./bgp-verifier.ts";
import { bgpRoutes, deleteBgpRoute } from "./bird-cleanup.ts";
import { birdPaths, birdPid, type startBird } from "./bird-process.ts";
import type { BirdProtocol } from "./bird-status.ts";
import { NOT_STARTED } from "./bird-supervisor.ts";
import { BirdSwitch } from "./bird-switch.ts";
import { isRefusal } from "./reply-reader.ts";
import { RouteCheck } from "./route-check.ts";
import { announcedPrefixes, refusedPrefixes } from "./session-prefixes.ts";
import { SessionWatch } from "./session-watch.ts";

export interface BgpPartsOptions extends BgpPlannerOptions {
  readonly stateDir: string;
  readonly routes: Pick<RouteTable, "routes" | "deleteRoute">;
  readonly api?: BgpApi;
  /** The node has all routes of its own: in other modes than "bgp" those of an earlier BIRD may go then. */
  readonly hasOwnRoutes: () => boolean;
  readonly registry: Registry;
  readonly log: Log;
  /** The node may have become ready, or {@link BgpParts.announces} is another. */
  readonly onChange: () => void;
  /** @default systemClock */
  readonly clock?: Clock;
  /** @default startBird */
  readonly start?: typeof startBird;
}

/** How often BIRD is asked how its sessions are. */
const LOOK_MS = 1000;
/** A node is ready with its sessions; one that does not come must not keep it from being so, milliseconds. */
const PATIENCE_MS = 15_000;
/** Changes of Services are gathered this long: an endpoint that terminates is withdrawn within it. */
const GATHER_MS = 50;
/** Nor longer than this, whatever a plan takes: what a busy moment cost once must not be waited for ten times over. */
const GATHER_MOST_MS = 500;
/** Prefixes that an Event names. */
const MOST_NAMED = 5;

export class BgpParts {
  readonly #options: BgpPartsOptions;
  readonly #clock: Clock;
  readonly #planner: BgpPlanner;
  readonly #bird: BirdSwitch;
  readonly #metrics: BgpMetrics;
  readonly #sessions: SessionWatch;
  readonly #check: RouteCheck;
  readonly #timer: NodeJS.Timeout;
  #cancelSoon: (() => void) | undefined;
  /** How long the last plan behind {@link followSoon} took. */
  #tookMs = 0;
  #planned: BgpPlan | undefined;
  /** What BIRD is to do: as planned, but for {@link #former}. */
  #plan: BgpPlan | undefined;
  /** BIRD's configuration of before this agent, kept while what operators ask for may not be read. */
  #former: string | undefined;
  #problems: readonly Problem[] = [];
  #configuredAt: number | undefined;
  #isReady = false;
  #looking: Promise<void> | undefined;

  constructor(options: BgpPartsOptions) {
    this.#options = options;
    const { stateDir, routes, log, start } = options;
    this.#clock = options.clock ?? systemClock;
    this.#planner = new BgpPlanner(options);
    this.#metrics = createBgpMetrics(options.registry);
    this.#sessions = new SessionWatch(this.#metrics, log);
    this.#bird = new BirdSwitch({
      stateDir,
      routes,
      clock: this.#clock,
      log,
      ...(start === undefined ? {} : { start }),
    });
    this.#check = new RouteCheck({
      clock: this.#clock,
      log,
      verify: () => this.#verify(),
      isSettled: () => this.#isSettled(),
      rewrite: async (family) => {
        const reply = await this.#ask(`restart kernel${family}`);
        if (reply === undefined || isRefusal(reply)) throw new Error(reply?.text ?? "BIRD does not run");
      },
      deleteRoute: (prefix) => {
        for (const route of bgpRoutes(routes)) if (route.destination === prefix) deleteBgpRoute(routes, route);
      },
      onDifferences: (differences) => this.#tellOfDifferences(differences),
      onRepair: () => this.#metrics.repairs.inc(),
    });
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  /** The cluster or the node may have changed. */
  follow(): void {
    const planned = this.#planner.plan();
    if (planned === undefined || planned === this.#planned) return;
    // What BIRD did until now is not taken away before the node's own routes are there.
    if (this.#isBeside && this.#planned === undefined && !this.#options.hasOwnRoutes()) return;
    const announced = this.announces;
    this.#former = this.#formerConfig(planned);
    this.#planned = planned;
    this.#plan = this.#former === undefined ? planned : { ...planned, sessions: [] };
    this.#tell(this.#plan.problems);
    const paths = birdPaths(this.#options.stateDir);
    const isIdle = this.#isBeside && planned.sessions.length === 0;
    this.#bird.want(this.#former ?? (isIdle ? undefined : formatBirdConfig(planned, paths)));
    if (announced !== this.announces) this.#options.onChange();
  }

  /** Somebody is told of the node's pod CIDRs. */
  get announces(): boolean {
    return !this.#isBeside || this.#former !== undefined || (this.#planned?.sessions.length ?? 0) > 0;
  }

  /** Services or endpoints changed: what changes together is one plan, and planning takes a tenth of the time, as far as it can. */
  followSoon(): void {
    this.#cancelSoon ??= this.#clock.schedule(Math.min(GATHER_MOST_MS, Math.max(GATHER_MS, 9 * this.#tookMs)), () => {
      this.#cancelSoon = undefined;
      const start = this.#clock.now();
      this.follow();
      this.#tookMs = this.#clock.now() - start;
    });
  }

  /** Why the node's pods would have no way to others; undefined when they have, and where BGP is not what leads there. */
  notReadyReason(): string | undefined {
    if (this.#isBeside) return undefined;
    if (this.#plan === undefined)
      return "BGP is not planned: nodes, BGPPeers, Secrets or the BGPConfiguration are not known";
    if (this.#isReady) return undefined;
    return this.#failure ?? "BGP sessions are not established yet";
  }

  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** @returns the document behind /bgp and what is below it */
  document(url: URL): Promise<BgpReport | BgpVerification | BgpPrefixReport> | undefined {
    if (!this.#isInUse) return undefined;
    const prefixes = {
      nodeName: this.#options.nodeName,
      plan: this.#plan,
      services: new Map(this.#planner.announced?.announced.map(({ prefix, reasons }) => [prefix, reasons])),
      peer: url.searchParams.get("peer") ?? undefined,
      ask: (command: string) => this.#ask(command),
    };
    if (url.pathname === "/bgp/verify") return this.#verify();
    if (url.pathname === "/bgp/refused") return refusedPrefixes(prefixes);
    if (url.pathname === "/bgp/announced") return announcedPrefixes(prefixes);
    return url.pathname === "/bgp" ? this.#report() : undefined;
  }

  /** Called when metrics are read. */
  collect(): void {
    this.#sessions.collect();
    const { birdUp, birdRestarts, differences } = this.#metrics;
    const { supervisor } = this.#bird;
    birdUp.set(supervisor !== undefined && supervisor.failure === undefined ? 1 : 0);
    birdRestarts.set(supervisor?.restarts ?? 0);
    differences.set(this.#check.differences.length);
  }

  /** BIRD and its routes stay. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#cancelSoon?.();
    this.#check[Symbol.dispose]();
    await this.#options.api?.stop();
    await this.#bird.stop();
    await this.#looking;
  }

  /** Routes between nodes are not BGP's. */
  get #isBeside(): boolean {
    return this.#options.routing !== "bgp";
  }

  /** Beside another mode, where no BGPPeer selects this node, there is nothing to be told. */
  get #isInUse(): boolean {
    return this.announces || this.#bird.supervisor !== undefined || this.#problems.length > 0;
  }

  get #failure(): string | undefined {
    const { supervisor } = this.#bird;
    if (supervisor !== undefined) return supervisor.failure;
    return this.#isBeside ? undefined : NOT_STARTED;
  }

  #ask(command: string) {
    return this.#bird.supervisor?.ask(command) ?? Promise.resolve(undefined);
  }

  /** A BIRD that runs keeps its peers, though the agent after a restart may not read who they are. */
  #formerConfig({ problems }: BgpPlan): string | undefined {
    if (!problems.some(isBlind)) return undefined;
    if (this.#planned !== undefined) return this.#former;
    const paths = birdPaths(this.#options.stateDir);
    return birdPid(paths) === undefined ? undefined : withKernelRunning(readFileSync(paths.config, "utf8"));
  }

  #tell(planned: readonly Problem[]): void {
    // Nobody asked this node for BGP: that peers may not be read is no problem of its own.
    const isIdle = this.#isBeside && this.#former === undefined;
    const problems = isIdle ? planned.filter((problem) => !isBlind(problem)) : planned;
    const before = new Set(this.#problems.map(({ message }) => message));
    this.#problems = problems;
    for (const { code, object, message, remedy } of problems) {
      if (!before.has(message)) this.#options.log.warn({ code, object, remedy }, message);
    }
  }

  /** Asks BIRD; one question at a time. */
  #look(): Promise<void> {
    this.#looking ??= this.#askForSessions().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #askForSessions(): Promise<void> {
    let protocols: readonly BirdProtocol[] = [];
    try {
      protocols = (await this.#bird.supervisor?.protocols()) ?? [];
    } catch (error) {
      this.#options.log.warn({ error: messageOf(error) }, "BIRD does not say how its sessions are");
    }
    this.#sessions.follow(this.#plan, protocols, this.#failure);
    // A BIRD that starts has nothing to say yet.
    if (this.#plan !== undefined && this.#former === undefined && this.#failure !== NOT_STARTED) {
      this.#options.api?.tell(this.#sessions.sessions, this.#problems);
    }
    if (!this.#isReady && !this.#isBeside) this.#becomeReady();
  }

  #becomeReady(): void {
    if (this.#plan === undefined || this.#failure !== undefined) return;
    this.#configuredAt ??= this.#clock.now();
    const isLate = this.#clock.now() - this.#configuredAt > PATIENCE_MS;
    if (!isLate && !this.#sessions.allEstablished) return;
    this.#isReady = true;
    this.#options.onChange();
  }

  #verify(): Promise<BgpVerification> {
    const { nodeName, routes, state } = this.#options;
    const ask = (command: string) => this.#ask(command);
    return verifyBgp({ nodeName, plan: this.#plan, state: state(), routes, ask });
  }

  /** A BIRD that came back waits for what its peers had told the one before: until then the kernel has more. */
  async #isSettled(): Promise<boolean> {
    const { supervisor } = this.#bird;
    if (this.#plan === undefined || supervisor === undefined || this.#failure !== undefined) return false;
    if (supervisor.isRecovering) return false;
    const status = await this.#ask("show status");
    return status !== undefined && !status.lines.some(({ text }) => /graceful restart recovery/i.test(text));
  }

  #tellOfDifferences(differences: readonly BgpDifference[]): void {
    const { api } = this.#options;
    if (differences.length === 0) {
      api?.record("Normal", "BGPRoutesAgree", "API, BIRD and kernel agree on all routes again");
      return;
    }
    const named = differences
      .slice(0, MOST_NAMED)
      .map(({ prefix, api: said, bird, kernel }) => `${prefix} (API: ${said}, BIRD: ${bird}, kernel: ${kernel})`);
    const more = differences.length > MOST_NAMED ? ` and ${differences.length - MOST_NAMED} more` : "";
    api?.record("Warning", "BGPRoutesDiffer", `API, BIRD and kernel differ on ${named.join(", ")}${more}`);
  }

  async #report(): Promise<BgpReport> {
    await this.#look();
    const { supervisor } = this.#bird;
    const { version, pid, restarts = 0 } = supervisor ?? {};
    const announced = this.#planner.announced;
    return {
      node: this.#options.nodeName,
      routerId: this.#plan?.routerId ?? null,
      bird: { running: version !== undefined, version: version ?? null, pid: pid ?? null, restarts },
      failure: this.#failure ?? null,
      announced: this.#plan?.podCidrs ?? [],
      services: announced?.announced ?? [],
      withheld: announced?.withheld ?? [],
      sessions: this.#sessions.sessions,
      problems: this.problems,
    };
  }
}

function isBlind({ code }: Problem): boolean {
  return code === "BW_BGP_FORBIDDEN";
}
