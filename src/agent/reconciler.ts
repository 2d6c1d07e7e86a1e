/**
 * The loop: view -> plan -> diff -> apply -> status. Whatever happens (the cluster changed, somebody touched the kernel,
 * a pod came) asks for the same thing: one more round. Rounds are coalesced, and retried here and nowhere else.
 */
import { diffNode } from "../diff/diff.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { RouteEvent, RouteWatch } from "../kernel/rtnetlink/types.ts";
import type { ClusterNode } from "../model/cluster.ts";
import { describeError, isBreakwaterError, messageOf } from "../model/errors.ts";
import { NFT_TABLE } from "../model/marks.ts";
import type { NodeConfig } from "../model/node-config.ts";
import { formatOperation, type Operation } from "../model/operation.ts";
import type { DesiredState, LocalPod, Problem } from "../model/state.ts";
import { PlanMemo, planNode } from "../plan/plan.ts";
import { type ApplyResult, applyOperations, type PodLinks } from "./apply.ts";
import type { Log } from "./log.ts";
import { type AgentMetrics, countProblems } from "./metrics.ts";
import type { Mirror } from "./mirror.ts";

/** Between two rounds, so that a burst of events is one round. Far below the second within which repairs are due. */
const ROUND_INTERVAL_MS = 20;
/** Everything is listed anew this often, in case an event was lost without a trace. */
const RESYNC_INTERVAL_MS = 60_000;
const FIRST_LOOK_MS = 2000;
/** Every so many listings the pods are looked into as well: what changes there arrives as an event, unless it was lost. */
const LISTINGS_A_LOOK = 10;
const RETRY_FIRST_MS = 100;
const RETRY_LAST_MS = 30_000;

/** What then differs was changed by somebody else. drift: of settings that tell nobody when they change. */
const REPAIRING: ReadonlySet<string> = new Set(["kernel", "drift"]);

const NO_FEATURES =
  "this kernel has no ethtool netlink: offloads stay as they are, and packets through VXLAN cost more CPU than they must";

export interface ReconcilerOptions {
  readonly kernel: Kernel;
  readonly mirror: Mirror;
  readonly config: NodeConfig;
  /** All nodes of the cluster, or undefined before the first list. */
  readonly nodes: () => ReadonlyMap<string, ClusterNode> | undefined;
  readonly pods: () => readonly LocalPod[];
  /** Host ends of pods to be left alone: see DesiredState.strangers. */
  readonly strangers?: () => readonly string[];
  /** What paths were proven to carry: see PlanInput.provenMtuBytes. */
  readonly provenMtuBytes?: () => ReadonlyMap<string, number> | undefined;
  /** See PlanInput.announced. */
  readonly announced?: () => boolean;
  readonly podLinks: PodLinks;
  readonly log: Log;
  readonly metrics: AgentMetrics;
  /** What a round did, and who had asked for it. */
  readonly onApplied?: (results: readonly ApplyResult[], cause: string) => void;
  /** Called behind every round. */
  readonly onRound?: () => void;
  /** What happened in the kernel, as it happened. */
  readonly onEvents?: (events: readonly RouteEvent[]) => void;
}

/** Outcome of the last round. */
export interface ReconcilerStatus {
  readonly state: DesiredState | undefined;
  readonly notReady: Problem | undefined;
  readonly failures: readonly ApplyResult[];
  /** Why the last round could not be made at all (the kernel cannot be listed); what stands here is the one before it. */
  readonly error: Error | undefined;
  /** When the last round ended, milliseconds of performance.now(). */
  readonly endedAt: number;
}

export class Reconciler implements Disposable {
  readonly #options: ReconcilerOptions;
  readonly #events: RouteWatch;
  readonly #watches: Disposable[];
  readonly #memo = new PlanMemo();
  #status: ReconcilerStatus = {
    state: undefined,
    notReady: undefined,
    failures: [],
    error: undefined,
    endedAt: performance.now(),
  };
  /** The mirror missed something: it lists anew before the next round. */
  #stale = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  readonly #resync: NodeJS.Timeout;
  /** Pods that an earlier agent attached are looked into once, behind the first round. */
  readonly #firstLook: NodeJS.Timeout;
  #listings = 0;
  #retryMs = RETRY_FIRST_MS;
  #reported = new Set<string>();
  #cause = "start";
  #stopped = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    const { kernel, mirror, log } = options;
    const { unavailable } = kernel.features;
    if (unavailable !== undefined) log.warn({ code: unavailable.code, remedy: unavailable.remedy }, NO_FEATURES);
    // Watches begin before the first list: what changes in between is an event, not a gap.
    this.#events = kernel.watch((events) => {
      this.#notice(() => mirror.apply(events));
      this.#options.onEvents?.(events);
    });
    this.#watches = [
      this.#events,
      kernel.watchPodEnds((links) => this.#notice(() => mirror.applyPodEnds(links))),
      kernel.nftables.watch(NFT_TABLE, () =>
        this.#notice(() => {
          mirror.listNft();
          return true;
        }),
      ),
    ];
    mirror.list();
    this.#resync = setInterval(() => this.#listAnew(), RESYNC_INTERVAL_MS);
    this.#firstLook = setTimeout(() => this.#listAnew(), FIRST_LOOK_MS);
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#resync);
    clearTimeout(this.#firstLook);
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  /** Codes of what keeps a part of the plan from being made: each as often as it does. */
  get problemCodes(): readonly string[] {
    const { state, notReady, failures, error } = this.#status;
    const problems = notReady === undefined ? (state?.problems ?? []) : [notReady];
    const errors = [...failures.map((failure) => failure.error), error].filter((each) => each !== undefined);
    return [...problems.map(({ code }) => code), ...errors.map(codeOf)];
  }

  get status(): ReconcilerStatus {
    return this.#status;
  }

  /** Asks for a round soon. @param cause who asks: "cluster", "kernel", "drift", "pod", "retry", "resync" */
  request(cause: string): void {
    this.#cause = cause;
    this.#schedule(ROUND_INTERVAL_MS);
  }

  /** One round, now. */
  run(): ReconcilerStatus {
    clearTimeout(this.#timer);
    this.#timerAt = Number.POSITIVE_INFINITY;
    const started = performance.now();
    try {
      if (this.#stale) this.#lookAtEverything();
      this.#stale = false;
      this.#round();
    } catch (error) {
      this.#giveUpRound(error);
    }
    this.#options.metrics.reconcileSeconds.observe((performance.now() - started) / 1000);
    this.#options.onRound?.();
    return this.#status;
  }

  #lookAtEverything(): void {
    const { mirror, podLinks, log } = this.#options;
    mirror.list();
    if (this.#listings++ % LISTINGS_A_LOOK !== 0) return;
    for (const pod of this.#status.state?.pods ?? []) {
      try {
        const mtuBytes = podLinks.endMtu(pod);
        if (mtuBytes !== undefined) mirror.setPodEndMtu(pod.hostIfname, mtuBytes);
      } catch (error) {
        // Its runtime may be taking it away right now.
        log.debug({ pod: pod.name, error: messageOf(error) }, "cannot look into the pod");
      }
    }
  }

  #schedule(delayMs: number): void {
    const at = performance.now() + delayMs;
    if (this.#stopped || at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.run(), delayMs);
  }

  #listAnew(): void {
    this.#stale = true;
    this.request("resync");
  }

  /** Follows what happened in the kernel. Where that fails (the kernel cannot be listed), the next round lists anew. */
  #notice(follow: () => boolean): void {
    let changed = true;
    try {
      changed = follow();
    } catch (error) {
      this.#stale = true;
      this.#options.log.warn({ error: messageOf(error) }, "cannot follow the kernel's events; listing everything anew");
    }
    if (changed) this.request("kernel");
  }

  /** The kernel could not be asked: nothing is known to be true any more, so everything is listed and tried again. */
  #giveUpRound(error: unknown): void {
    this.#stale = true;
    const failure = error instanceof Error ? error : new Error(String(error));
    this.#status = { ...this.#status, error: failure };
    const [code, message] = [codeOf(error), describeError(error)];
    countProblems(this.#options.metrics, this.problemCodes);
    if (!this.#reported.has(message)) this.#options.log.error({ code }, message);
    this.#reported.add(message);
    this.#retry();
  }

  #round(): void {
    const { config, mirror, nodes, pods } = this.#options;
    const known = nodes();
    if (known === undefined) return;
    const started = performance.now();
    const facts = mirror.facts(config);
    this.#events.ignoreNeighboursOf(facts.interfaces.map(({ index }) => index));
    const [strangers, provenMtuBytes] = [this.#options.strangers?.(), this.#options.provenMtuBytes?.()];
    const announced = this.#options.announced?.() ?? false;
    const input = { config, facts, nodes: known, pods: pods(), strangers, provenMtuBytes, announced };
    const planned = planNode(input, this.#memo);
    if ("notReady" in planned) {
      this.#finish(undefined, planned.notReady, []);
      return;
    }
    const { state } = planned;
    const operations = diffNode(state, mirror.observed(state));
    this.#options.metrics.planSeconds.observe((performance.now() - started) / 1000);
    this.#finish(state, undefined, this.#apply(operations));
  }

  #apply(operations: readonly Operation[]): ApplyResult[] {
    if (operations.length === 0) return [];
    const { kernel, mirror, podLinks, log, metrics } = this.#options;
    const started = performance.now();
    const results = applyOperations(operations, kernel, mirror, podLinks);
    metrics.applySeconds.observe((performance.now() - started) / 1000);
    for (const { operation, error } of results) {
      const result = error === undefined ? "done" : "failed";
      metrics.operations.inc({ operation: operation.do, result });
      if (error === undefined) log.info({ cause: operation.cause, trigger: this.#cause }, formatOperation(operation));
      if (error === undefined && REPAIRING.has(this.#cause)) metrics.repairs.inc({ operation: operation.do });
    }
    this.#options.onApplied?.(results, this.#cause);
    return results.filter(({ error }) => error !== undefined);
  }

  #finish(state: DesiredState | undefined, notReady: Problem | undefined, failures: readonly ApplyResult[]): void {
    this.#status = { state, notReady, failures, error: undefined, endedAt: performance.now() };
    this.#report(notReady === undefined ? (state?.problems ?? []) : [notReady], failures);
    if (failures.length === 0) this.#retryMs = RETRY_FIRST_MS;
    else this.#retry();
  }

  #retry(): void {
    this.#cause = "retry";
    this.#schedule(this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LAST_MS);
  }

  /** Logs each problem once, and again when it comes back. */
  #report(problems: readonly Problem[], failures: readonly ApplyResult[]): void {
    const { log, metrics } = this.#options;
    countProblems(metrics, this.problemCodes);
    const now = new Set<string>();
    for (const { code, message, remedy } of problems) {
      now.add(message);
      if (!this.#reported.has(message)) log.warn({ code, remedy }, message);
    }
    for (const { operation, error } of failures) {
      const code = codeOf(error);
      const message = `${formatOperation(operation)}: ${describeError(error)}`;
      now.add(message);
      if (!this.#reported.has(message)) log.error({ code, cause: operation.cause }, message);
    }
    this.#reported = now;
  }
}

function codeOf(error: unknown): string {
  return isBreakwaterError(error) ? error.code : "BW_OPERATION";
}
