/**
 * The takeover from kube-proxy: looks for what it left and whether it runs, says so, and with --replace-kube-proxy removes
 * its state once ours serves all Services. docs/design/takeover.md has the order and the reasons.
 */
import type { FindRunning, KubeProxyPart } from "../kernel/kube-proxy/types.ts";
import { Backoff } from "../kube/backoff.ts";
import type { Clock } from "../kube/clock.ts";
import { describeError } from "../model/errors.ts";
import {
  countObjects,
  formatCounts,
  type KubeProxyFinding,
  type KubeProxyKind,
  type KubeProxyMode,
  type KubeProxyRunning,
} from "../model/kube-proxy.ts";
import type { Problem } from "../model/state.ts";
import { decideKubeProxy, type KubeProxyDecision } from "../plan/kube-proxy.ts";
import type { KubeProxyMetrics } from "./kube-proxy-metrics.ts";
import { KubeProxyRewrites } from "./kube-proxy-rewrites.ts";
import type { Log } from "./log.ts";

export interface KubeProxyTakeoverOptions {
  readonly nodeName: string;
  readonly mode: KubeProxyMode | undefined;
  /** In the order in which they are to go. */
  readonly parts: readonly KubeProxyPart[];
  readonly findRunning: FindRunning;
  /** Whether the kernel has every Service that the API has, as planned: only then may the other's go. */
  readonly servesAll: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: KubeProxyMetrics;
}

/** While anything is there. */
const CHECK_MS = 30_000;
/** While there is nothing: somebody may start a kube-proxy later. */
const QUIET_CHECK_MS = 600_000;
/** While all that is missing is that ours serves. */
const WAIT_MS = 1000;
const RETRY_FIRST_MS = 1000;
const RETRY_LAST_MS = 300_000;
/** What comes back is removed again after CHECK_MS, then twice that, at last this: no fight over every packet. */
const FIGHT_LAST_MS = 600_000;

export class KubeProxyTakeover implements Disposable {
  readonly #options: KubeProxyTakeoverOptions;
  readonly #rewrites = new KubeProxyRewrites();
  readonly #backoff: Backoff;
  #checking: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #problems: readonly Problem[] = [];
  /** What was said last of each subject. */
  readonly #told = new Map<string, string>();
  #removeAgainMs = Number.NEGATIVE_INFINITY;
  #fights = 0;
  #stopped = false;

  constructor(options: KubeProxyTakeoverOptions) {
    this.#options = options;
    this.#backoff = new Backoff({ baseMs: RETRY_FIRST_MS, capMs: RETRY_LAST_MS, random: options.clock.random });
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  /** What the last look found wrong: for metrics and reports beside the plan's own problems. */
  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** One look now, and further ones by itself from then on. Never rejects; one that is under way is not begun twice. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #check(): Promise<void> {
    this.#cancel?.();
    if (this.#stopped) return;
    try {
      const running = await this.#options.findRunning();
      if (!this.#stopped) this.#round(running);
    } catch (error) {
      this.#tell("error", "look", `cannot look for kube-proxy, tried again by itself: ${describeError(error)}`);
      this.#schedule(this.#backoff.next());
    }
  }

  #round(running: KubeProxyRunning): void {
    const { mode, nodeName, clock } = this.#options;
    const isRunning = running.pids.length > 0 || running.healthz !== undefined;
    // Whose Services are left to it may have thousands of its rules: they are none of our business.
    const { found, failed } = mode === "keep" && isRunning ? { found: [], failed: new Set<never>() } : this.#look();
    const rewritten = this.#rewrites.look(found, failed, clock.now());
    const decision = decideKubeProxy({ nodeName, mode, found, running, rewritten, servesAll: this.#servesAll() });
    this.#report(decision, found);
    const removals = clock.now() < this.#removeAgainMs ? [] : decision.remove;
    const isWhole = this.#remove(removals, rewritten.length > 0) && failed.size === 0;
    if (!isWhole) {
      this.#schedule(this.#backoff.next());
      return;
    }
    this.#backoff.reset();
    for (const subject of this.#told.keys()) if (isFailure(subject)) this.#told.delete(subject);
    if (decision.do === "wait") this.#waitForServing(clock.now() + CHECK_MS);
    else this.#schedule(this.#isQuiet(decision) ? QUIET_CHECK_MS : CHECK_MS);
  }

  #isQuiet(decision: KubeProxyDecision): boolean {
    return decision.do === "nothing" && decision.problems.length === 0 && this.#options.mode !== "keep";
  }

  #look(): { found: KubeProxyFinding[]; failed: Set<KubeProxyKind> } {
    const { parts, metrics } = this.#options;
    const failed = new Set<KubeProxyKind>();
    const found = parts.flatMap((part) => {
      try {
        const finding = part.find();
        metrics.objects.set({ kind: part.kind }, countObjects(finding?.counts ?? {}));
        return finding ?? [];
      } catch (error) {
        failed.add(part.kind);
        this.#fail(part.kind, "find", error);
        return [];
      }
    });
    return { found, failed };
  }

  /** @returns false when something could not be removed */
  #remove(kinds: readonly KubeProxyKind[], cameBack: boolean): boolean {
    if (kinds.length === 0) return true;
    const failed = new Set<KubeProxyKind>();
    for (const part of this.#options.parts.filter(({ kind }) => kinds.includes(kind))) {
      // By its sets the virtual servers are told that are left to remove.
      if (part.kind === "ipset" && failed.has("ipvs")) continue;
      if (!this.#removePart(part)) failed.add(part.kind);
    }
    this.#fights = cameBack ? this.#fights + 1 : 0;
    const pause = Math.min(CHECK_MS * 2 ** this.#fights, FIGHT_LAST_MS);
    this.#removeAgainMs = failed.size > 0 || !cameBack ? Number.NEGATIVE_INFINITY : this.#options.clock.now() + pause;
    return failed.size === 0;
  }

  #removePart(part: KubeProxyPart): boolean {
    const { log, metrics } = this.#options;
    const { kind } = part;
    try {
      const removed = part.remove();
      this.#rewrites.removed(kind);
      if (countObjects(removed) === 0) return true;
      metrics.removed.inc({ kind }, countObjects(removed));
      log.info({ kind, ...removed }, `removed what kube-proxy left in ${kind}: ${formatCounts(removed)}`);
      return true;
    } catch (error) {
      this.#rewrites.touched(kind);
      this.#fail(kind, "remove", error);
      return false;
    }
  }

  #fail(kind: KubeProxyKind, operation: "find" | "remove", error: unknown): void {
    this.#options.metrics.failures.inc({ kind });
    const message = `cannot ${operation} what kube-proxy left in ${kind}, tried again by itself: ${describeError(error)}`;
    this.#tell("error", `${operation} ${kind}`, message);
  }

  /** Each problem once, and again when it comes back. */
  #report({ do: action, problems }: KubeProxyDecision, found: readonly KubeProxyFinding[]): void {
    const { log, mode } = this.#options;
    const before = this.#problems;
    this.#problems = problems;
    for (const { code, message } of before.filter((old) => !problems.some((now) => now.code === old.code))) {
      log.info({ code }, `over: ${message}`);
    }
    for (const { code, message, remedy } of problems) {
      if (!before.some((old) => old.message === message)) log.warn({ code, remedy }, message);
    }
    if (action === "wait")
      this.#tell("info", "wait", "kube-proxy's rules go once all Services are served by Breakwater");
    else this.#told.delete("wait");
    if (mode !== "replace") return;
    for (const { kind, kept } of found.filter((finding) => finding.kept.length > 0)) {
      this.#tell("info", `kept ${kind}`, `left of kube-proxy's, because somebody else needs it: ${kept.join("; ")}`);
    }
  }

  /** A line is said again only when it says something else. */
  #tell(level: "info" | "error", subject: string, message: string): void {
    if (this.#told.get(subject) !== message) this.#options.log[level]({}, message);
    this.#told.set(subject, message);
  }

  #servesAll(): boolean {
    try {
      return this.#options.servesAll();
    } catch (error) {
      this.#tell("error", "serves", `cannot tell whether all Services are served: ${describeError(error)}`);
      return false;
    }
  }

  #waitForServing(untilMs: number): void {
    this.#schedule(WAIT_MS, () => {
      if (this.#options.clock.now() >= untilMs || this.#servesAll()) void this.check();
      else this.#waitForServing(untilMs);
    });
  }

  #schedule(delayMs: number, then: () => void = () => void this.check()): void {
    this.#cancel?.();
    if (!this.#stopped) this.#cancel = this.#options.clock.schedule(delayMs, then);
  }
}

/** Subjects of {@link KubeProxyTakeover} that a round without a failure ends. */
function isFailure(subject: string): boolean {
  return /^(look$|find |remove )/.test(subject);
}
