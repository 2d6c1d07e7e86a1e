/**
 * One log line for each packet that policies denied and the kernel's limit let through to nflog; no more lines a second
 * than were asked for, over all pods. What is not logged is still counted (denied-counters.ts).
 */
import type { HeardPackets, OpenPacketLog } from "../../kernel/nflog/types.ts";
import type { Clock } from "../../kube/clock.ts";
import { BreakwaterError, isBreakwaterError, messageOf } from "../../model/errors.ts";
import type { Log } from "../log.ts";
import type { AddressNames } from "./address-names.ts";
import { describeDenied, formatDenied } from "./denied-packet.ts";
import type { PolicyMetrics } from "./policy-metrics.ts";

export interface DeniedLogOptions {
  readonly open: OpenPacketLog;
  /** False where the kernel would refuse rules that log. */
  readonly rulesCanLog: () => boolean;
  readonly group: number;
  /** Most lines a second, and most at once. */
  readonly perSecond: number;
  /** By the chain that drops: the policies that select its pods. */
  readonly denials: () => ReadonlyMap<string, readonly string[]>;
  readonly names: Pick<AddressNames, "ownerOf">;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Pick<PolicyMetrics, "logged">;
}

const NO_LOG = {
  operation: "make a rule that logs",
  remedy:
    "Use a kernel with CONFIG_NFT_LIMIT, CONFIG_NFT_LOG and CONFIG_NETFILTER_NETLINK_LOG, or leave --log-denied out",
};
/** Who has the group may be the agent before this one, on its way out. */
const RETRY_MS = 10_000;
/** Losses are told no more often. */
const LOSS_PAUSE_MS = 10_000;

export class DeniedLog implements Disposable {
  readonly #options: DeniedLogOptions;
  #listener: Disposable | undefined;
  #cancel: (() => void) | undefined;
  #lines: number;
  #refilledAt: number;
  #lossToldAt = Number.NEGATIVE_INFINITY;
  #isPossible = true;

  constructor(options: DeniedLogOptions) {
    this.#options = options;
    this.#lines = options.perSecond;
    this.#refilledAt = options.clock.now();
    this.#listen();
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
    this.#listener?.[Symbol.dispose]();
  }

  /** False where the kernel cannot: it would refuse every rule that logs. */
  get isPossible(): boolean {
    return this.#isPossible;
  }

  #listen(): void {
    const { open, group, log, clock, rulesCanLog } = this.#options;
    try {
      if (!rulesCanLog())
        throw new BreakwaterError("BW_NFTABLES", "The kernel has no rules that log with a limit", NO_LOG);
      this.#listener = open(group, (heard) => this.#take(heard));
    } catch (error) {
      const isTaken = isBreakwaterError(error) && (error.errno === "EPERM" || error.errno === "EBUSY");
      const remedy = isBreakwaterError(error) ? error.remedy : undefined;
      if (!isTaken) {
        this.#isPossible = false;
        log.error({ error: messageOf(error), remedy }, "denied packets cannot be logged; they are counted");
        return;
      }
      log.warn({ error: messageOf(error), remedy, retryInMs: RETRY_MS }, "denied packets cannot be logged yet");
      this.#cancel = clock.schedule(RETRY_MS, () => this.#listen());
    }
  }

  #take({ packets, lost, overran }: HeardPackets): void {
    const { denials, names, log, metrics } = this.#options;
    const known = denials();
    for (const packet of packets) {
      const denied = describeDenied(packet, known, names);
      if (denied === undefined) continue;
      const mayTell = this.#spend();
      metrics.logged.inc({ result: mayTell ? "written" : "limited" });
      if (mayTell) log.info(denied, formatDenied(denied));
    }
    if (lost > 0) metrics.logged.inc({ result: "lost" }, lost);
    if (lost > 0 || overran) this.#tellLoss(lost);
  }

  /** A bucket of lines: as many at once as there are a second. */
  #spend(): boolean {
    const { clock, perSecond } = this.#options;
    const now = clock.now();
    this.#lines = Math.min(perSecond, this.#lines + ((now - this.#refilledAt) / 1000) * perSecond);
    this.#refilledAt = now;
    if (this.#lines < 1) return false;
    this.#lines--;
    return true;
  }

  #tellLoss(lost: number): void {
    const { clock, log } = this.#options;
    if (clock.now() - this.#lossToldAt < LOSS_PAUSE_MS) return;
    this.#lossToldAt = clock.now();
    const message = "more denied packets were logged than could be read; lines are missing";
    log.warn(lost > 0 ? { lost } : {}, message);
  }
}
