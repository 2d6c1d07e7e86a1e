/**
 * Serves the cluster's Services on this node: takes what changed from the API's watch, plans those Services anew, commits
 * the elements that differ, deletes flows that lead nowhere. Changes that come together are one transaction.
 */
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { Clock } from "../../kube/clock.ts";
import type { ServiceSource } from "../../kube/service-source.ts";
import { BreakwaterError, messageOf } from "../../model/errors.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { ServiceConfig } from "../../model/node-config.ts";
import type { Verification } from "../../model/service-report.ts";
import { planService, type ServiceContext } from "../../plan/services/frontends.ts";
import { noneTouched, ServiceLedger } from "../../plan/services/ledger.ts";
import type { FrontendConflict } from "../../plan/services/table.ts";
import type { Log } from "../log.ts";
import { type HealthCheck, HealthChecks } from "./health-checks.ts";
import { type IpvsKernel, IpvsServices } from "./ipvs-services.ts";
import { ProgrammingLatency } from "./programming-latency.ts";
import { cleanUpAfter, type LostFrontends, lostFrontends, mergeLost } from "./service-cleanup.ts";
import type { ServiceMetrics } from "./service-metrics.ts";
import { problemsOf } from "./service-status.ts";
import { ServiceTable } from "./service-table.ts";
import { verifyTables } from "./verification.ts";

export interface ServiceProxyOptions {
  readonly nftables: Nftables;
  readonly conntrack: Conntrack;
  readonly ipvs: IpvsKernel;
  readonly source: Pick<ServiceSource, "services" | "slicesOf" | "takeChanged">;
  readonly config: ServiceConfig;
  readonly log: Log;
  readonly metrics: ServiceMetrics;
  readonly clock: Clock;
  /** Milliseconds since 1970. @default Date.now */
  readonly wallClock?: () => number;
  /** Behind each commit: keys of the Services that changed, or that go without a frontend now or did so until now. */
  readonly onCommit: (keys: ReadonlySet<string>) => void;
}

/** Commits are no closer than this: an event storm becomes few transactions. */
const PAUSE_MS = 2;
/** Slots and chains that were given up are deleted so long after, at least: no packet is in them any more. */
const SWEEP_MS = 1000;
/** Flows and clients that could not be listed or deleted. */
const CLEANUP_RETRY_MS = 1000;
/** Connections through IPVS to endpoints that are gone are looked at so often. */
const DRAIN_MS = 1000;
const VERIFY_MS = 180_000;
/** Somebody else's change of our table is repaired this long after the first event of it. */
const REPAIR_MS = 50;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;

export class ServiceProxy implements Disposable {
  readonly #options: ServiceProxyOptions;
  readonly #ledger = new ServiceLedger();
  readonly #tables: readonly ServiceTable[];
  readonly #ipvs: IpvsServices;
  readonly #watches: Disposable[];
  readonly #health: HealthChecks;
  readonly #latency: ProgrammingLatency;
  readonly #timers = new Map<string, () => void>();
  #context: ServiceContext | undefined;
  /** What a transaction that failed should have brought, and what has to be looked at in any case. */
  #pending = noneTouched();
  /** Services that were planned since the last commit. */
  #planned = new Set<string>();
  #everything = true;
  /** What transactions that came through left behind in conntrack and of clients, and nobody cleaned up yet. */
  #lost: LostFrontends | undefined;
  #started = false;
  /** What we believe of the kernel may be wrong. */
  #mustRead = true;
  #disposed = false;
  #dirtySince: number | undefined;
  #endedAt = Number.NEGATIVE_INFINITY;
  #retryMs = RETRY_MIN_MS;
  #failure: string | undefined;
  /** Services that go without a frontend. */
  #losers: ReadonlySet<string> = new Set();
  readonly #healthChecks = new Map<string, HealthCheck>();
  #version = 0;
  #verifying: Promise<Verification> | undefined;

  constructor(options: ServiceProxyOptions) {
    this.#options = options;
    const { nftables, config, clock, metrics } = options;
    this.#latency = new ProgrammingLatency(metrics.networkProgrammingSeconds, () => this.#wallSeconds());
    this.#tables = ([4, 6] as const).map(
      (family) => new ServiceTable({ family, nftables, ledger: this.#ledger, config }),
    );
    const { ipvs, log } = options;
    this.#ipvs = new IpvsServices({ kernel: ipvs, ledger: this.#ledger, config: config.ipvs, clock, log });
    this.#watches = this.#tables.map(({ family }) =>
      nftables.watch(SERVICE_TABLES[family], () => {
        // A comparison that is under way has read what was before.
        this.#version++;
        this.#schedule("repair", REPAIR_MS, () => this.#tryVerify());
      }),
    );
    this.#health = new HealthChecks({
      healthy: () => this.#failure === undefined,
      onError: ({ service, port }, { message: error }) => {
        options.log.error({ service, port, error, retryInMs: RETRY_MAX_MS }, "cannot answer health checks");
        this.#schedule("health", RETRY_MAX_MS, () => this.#answerHealthChecks());
      },
    });
    const verifyLater = () =>
      this.#schedule("verify", VERIFY_MS * (0.9 + 0.2 * clock.random()), () => {
        this.#tryVerify();
        verifyLater();
      });
    verifyLater();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const cancel of this.#timers.values()) cancel();
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#health.stop();
    this.#ipvs[Symbol.dispose]();
  }

  /** Why Services are not up to date; undefined when they are. */
  get failure(): string | undefined {
    return this.#failure ?? (this.#started ? undefined : "Services have not been read from the API yet");
  }

  get ledger(): ServiceLedger {
    return this.#ledger;
  }

  /** What of a Service is not served, a sentence each. */
  problems(key: string): string[] {
    return [...problemsOf(this.#ledger, key), ...this.#ipvs.problems(key)];
  }

  conflicts(): FrontendConflict[] {
    return this.#ledger.conflicts();
  }

  /** The node as Services depend on it; undefined while it is not known. */
  setNode(context: ServiceContext | undefined): void {
    if (context === undefined || JSON.stringify(context) === JSON.stringify(this.#context)) return;
    this.#context = context;
    this.#everything = true;
    // Its devices may be others, on which neighbours ask for addresses.
    if (this.#options.config.ipvs !== undefined) this.#mustRead = true;
    this.request();
  }

  /** Something changed: a commit follows, at once where the last one is long enough ago. */
  request(): void {
    this.#version++;
    this.#dirtySince ??= this.#options.clock.now();
    this.#options.metrics.lastQueued.set(this.#wallSeconds());
    if (this.#context === undefined || this.#timers.has("run") || this.#timers.has("retry")) return;
    const wait = this.#endedAt + PAUSE_MS - this.#options.clock.now();
    if (wait <= 0) this.#run();
    else this.#schedule("run", wait, () => this.#run());
  }

  /**
   * Compares the kernel with the API now, repairs what differs, and plans what was not planned yet. Who asks while that is
   * going on gets the same answer. @throws BreakwaterError when the kernel cannot be read
   */
  verify(): Promise<Verification> {
    this.#verifying ??= this.#verify().finally(() => {
      this.#verifying = undefined;
    });
    return this.#verifying;
  }

  async #verify(): Promise<Verification> {
    const { config, log, metrics, source } = this.#options;
    if (this.failure !== undefined) throw new BreakwaterError("BW_SERVICES", this.failure);
    const found = await verifyTables({
      tables: this.#tables,
      ipvs: this.#ipvs,
      source,
      ledger: this.#ledger,
      context: () => this.#context as ServiceContext,
      config,
      version: () => this.#version,
    });
    metrics.verifications.inc({ result: found.differences.length === 0 ? "equal" : "different" });
    if (found.differences.length === 0) return found;
    metrics.differences.inc(found.differences.length);
    const [first] = found.differences;
    log.warn(
      { differences: found.differences.length, first },
      "the kernel's Services differed from the API; repairing",
    );
    this.#mustRead = true;
    this.#everything = true;
    this.#run();
    return found;
  }

  #tryVerify(): void {
    if (this.failure !== undefined) return;
    this.verify().catch((error: unknown) => {
      this.#options.metrics.verifications.inc({ result: "failed" });
      this.#options.log.error({ error: messageOf(error) }, "cannot compare the kernel's Services with the API");
    });
  }

  #run(): void {
    const { clock, metrics, log } = this.#options;
    if (this.#context === undefined || this.#disposed) return;
    const startedAt = clock.now();
    const isFull = this.#everything;
    this.#version++;
    try {
      this.#plan();
      this.#commit();
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (!this.#started) log.info({ services: this.#ledger.size }, "Services are in the kernel");
    this.#started = true;
    this.#failure = undefined;
    this.#retryMs = RETRY_MIN_MS;
    this.#cancel("retry");
    this.#endedAt = clock.now();
    const seconds = (this.#endedAt - startedAt) / 1000;
    metrics.syncSeconds.observe(seconds);
    (isFull ? metrics.fullSyncSeconds : metrics.partialSyncSeconds).observe(seconds);
    if (this.#dirtySince !== undefined) metrics.eventToKernelSeconds.observe((this.#endedAt - this.#dirtySince) / 1000);
    this.#dirtySince = undefined;
    this.#latency.settle();
    metrics.lastSync.set(this.#wallSeconds());
    this.#sweepLater();
    const planned = this.#planned;
    this.#planned = new Set();
    this.#publish(planned, isFull);
  }

  #fail(error: unknown): void {
    const { log, metrics } = this.#options;
    metrics.syncFailures.inc();
    this.#failure = messageOf(error);
    const retryInMs = this.#retryMs;
    log.error({ error: this.#failure, retryInMs }, "cannot bring Services up to date; what the kernel has stands");
    // A step that was refused, or an answer that was lost: the kernel may hold something else than we think.
    this.#mustRead = true;
    this.#retryMs = Math.min(RETRY_MAX_MS, 2 * retryInMs);
    this.#schedule("retry", retryInMs, () => this.#run());
  }

  /** Plans what changed; what that touches waits in #pending. */
  #plan(): void {
    const { source } = this.#options;
    const context = this.#context as ServiceContext;
    const services = source.services();
    const changed = source.takeChanged();
    const keys = this.#everything ? new Set([...services.keys(), ...this.#known(), ...changed]) : changed;
    for (const key of keys) {
      const service = services.get(key);
      const plan = service && planService(service, source.slicesOf(key), context);
      this.#ledger.set(key, plan, this.#pending);
      this.#planned.add(key);
      this.#latency.note(key, source.slicesOf(key), this.#started);
    }
    this.#countChanges(changed);
    this.#everything = false;
    if (this.#mustRead) this.#readTables();
  }

  #known(): Iterable<string> {
    return Array.from(this.#ledger.plans(), ({ key }) => key);
  }

  /** Takes the kernel's tables as they are, and looks at all that is in them and at all that should be. */
  #readTables(): void {
    this.#ipvs.read();
    for (const key of this.#ipvs.keys()) this.#pending.frontends.add(key);
    for (const table of this.#tables) {
      table.adopt(table.read());
      for (const key of table.frontends().keys()) this.#pending.frontends.add(key);
      for (const ip of table.shared("cluster-ips")) this.#pending.clusterIps.add(ip);
      for (const element of table.shared("hairpin")) this.#pending.hairpins.add(element);
    }
    for (const key of this.#ledger.frontends()) this.#pending.frontends.add(key);
    for (const ip of this.#ledger.clusterIps()) this.#pending.clusterIps.add(ip);
    for (const element of this.#ledger.hairpins()) this.#pending.hairpins.add(element);
    this.#mustRead = false;
  }

  #commit(): void {
    const touched = this.#pending;
    // At the start: whoever was here before may have gone between its commit and what comes behind it.
    const { metrics } = this.#options;
    const before = { tables: this.#tables, ipvs: this.#ipvs };
    this.#lost = mergeLost(this.#lost, lostFrontends(touched.frontends, before, this.#ledger, !this.#started));
    const context = this.#context as ServiceContext;
    metrics.elements.inc(this.#ipvs.open(touched.frontends));
    for (const table of this.#tables) metrics.elements.inc(table.update(touched, context));
    metrics.elements.inc(this.#ipvs.close(touched.frontends));
    if (this.#ipvs.isDraining) this.#schedule("drain", DRAIN_MS, () => this.#drain());
    this.#pending = noneTouched();
    this.#cleanUp();
  }

  #cleanUp(): void {
    if (this.#lost === undefined) return;
    const [ledger, tables, context] = [this.#ledger, this.#tables, this.#context as ServiceContext];
    this.#lost = cleanUpAfter(this.#lost, { ...this.#options, ledger, tables, context });
    if (this.#lost === undefined) return;
    this.#schedule("cleanup", CLEANUP_RETRY_MS, () => {
      // While a transaction is due, flows would come back to what is there still: it cleans up behind itself.
      if (this.#isUpToDate()) this.#cleanUp();
    });
  }

  #isUpToDate(): boolean {
    return this.#failure === undefined && !this.#mustRead;
  }

  #sweepLater(): void {
    if (this.#tables.some((table) => table.hasLeftovers)) this.#schedule("sweep", SWEEP_MS, () => this.#sweep());
  }

  /** Not while a transaction is due: what the kernel's verdicts lead to is no leftover, whatever the plan says. */
  #sweep(): void {
    if (!this.#isUpToDate()) return;
    try {
      for (const table of this.#tables) if (table.hasLeftovers) table.sweepRipe();
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#sweepLater();
  }

  #drain(): void {
    if (!this.#isUpToDate()) return;
    try {
      this.#ipvs.drain();
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#ipvs.isDraining) this.#schedule("drain", DRAIN_MS, () => this.#drain());
  }

  #countChanges(changed: ReadonlySet<string>): void {
    const { metrics } = this.#options;
    metrics.serviceChanges.inc(changed.size);
    metrics.endpointChanges.inc(changed.size);
  }

  /** What others see of the result: health checks, and what could not be served. */
  #publish(keys: ReadonlySet<string>, isFull: boolean): void {
    let isOther = isFull;
    for (const key of keys) {
      const check = this.#ledger.plan(key)?.healthCheck;
      if (check === undefined) isOther = this.#healthChecks.delete(key) || isOther;
      else {
        this.#healthChecks.set(key, { service: key, ...check });
        isOther = true;
      }
    }
    if (isOther) this.#answerHealthChecks();
    const conflicts = this.#ledger.conflicts();
    this.#options.metrics.conflicts.set(conflicts.length);
    const losers = new Set(conflicts.map(({ loser }) => loser));
    this.#options.onCommit(new Set([...keys, ...this.#losers, ...losers]));
    this.#losers = losers;
  }

  #answerHealthChecks(): void {
    this.#health.set(this.#healthChecks.values(), this.#context?.nodePortAddresses ?? []);
  }

  #wallSeconds(): number {
    return (this.#options.wallClock ?? Date.now)() / 1000;
  }

  /** One timer of a name at a time: the first one counts. */
  #schedule(name: string, delayMs: number, body: () => void): void {
    if (this.#timers.has(name)) return;
    const cancel = this.#options.clock.schedule(delayMs, () => {
      this.#timers.delete(name);
      body();
    });
    this.#timers.set(name, cancel);
  }

  #cancel(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }
}
