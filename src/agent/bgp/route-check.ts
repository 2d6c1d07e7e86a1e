/**
 * Compares, every few minutes, what the API, BIRD and the kernel say of each prefix. A difference counts once it was seen
 * twice, further apart than BIRD takes to mend the kernel by itself. It is told (log, metric, Event), and mended where it is
 * ours: between BIRD and the kernel. What BIRD was never told, only its peers can.
 *
 *   look ──▶ differs ──25 s──▶ still differs ──▶ told ──▶ BIRD writes its routes anew ──▶ look: stray routes are deleted
 */
import type { Clock } from "../../kube/clock.ts";
import type { BgpDifference, BgpVerification } from "../../model/bgp-verification.ts";
import { messageOf } from "../../model/errors.ts";
import type { Family } from "../../model/ip.ts";
import { ipFamily } from "../../model/ip.ts";
import type { Prefix } from "../../model/prefix.ts";
import type { Log } from "../log.ts";

export interface RouteCheckOptions {
  readonly clock: Clock;
  readonly log: Pick<Log, "info" | "warn">;
  /** The three accounts compared, now. */
  readonly verify: () => Promise<BgpVerification>;
  /** Whether BIRD has what it is to have: neither does it start, nor does it wait for peers to come back. */
  readonly isSettled: () => Promise<boolean>;
  /** BIRD gives the kernel all its routes of a family anew. */
  readonly rewrite: (family: Family) => Promise<void>;
  /** Takes a route of BIRD's out of the kernel. */
  readonly deleteRoute: (prefix: Prefix) => void;
  /** What differs is others now: empty when all agree again. */
  readonly onDifferences: (differences: readonly BgpDifference[]) => void;
  readonly onRepair: () => void;
}

/** Between two looks, and the first one behind the start. */
const LOOK_MS = 120_000;
/** BIRD reads the kernel's routes every 20 s, and mends what it finds. */
const AGAIN_MS = 25_000;
/** What BIRD writes is in the kernel within this. */
const WRITTEN_MS = 2000;

export class RouteCheck implements Disposable {
  readonly #options: RouteCheckOptions;
  #differences: readonly BgpDifference[] = [];
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: RouteCheckOptions) {
    this.#options = options;
    this.#after(LOOK_MS, () => this.#look());
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  /** What was seen twice, and is so still as far as is known. */
  get differences(): readonly BgpDifference[] {
    return this.#differences;
  }

  async #look(): Promise<void> {
    const differences = await this.#compare();
    if (differences === undefined || differences.length === 0) {
      if (differences !== undefined) this.#tell([]);
      this.#after(LOOK_MS, () => this.#look());
      return;
    }
    this.#after(AGAIN_MS, () => this.#lookAgain(differences));
  }

  async #lookAgain(before: readonly BgpDifference[]): Promise<void> {
    const now = await this.#compare();
    if (now !== undefined) {
      const known = new Set(before.map(({ prefix }) => prefix));
      const lasting = now.filter(({ prefix }) => known.has(prefix));
      this.#tell(lasting);
      const ours = lasting.filter(({ bird, kernel }) => bird !== kernel);
      if (ours.length > 0) {
        await this.#rewrite(ours);
        this.#after(WRITTEN_MS, () => this.#deleteStrays(ours));
        return;
      }
    }
    this.#after(LOOK_MS, () => this.#look());
  }

  async #rewrite(differences: readonly BgpDifference[]): Promise<void> {
    const { rewrite, log, onRepair } = this.#options;
    for (const family of new Set(differences.map(({ prefix }) => ipFamily(prefix)))) {
      try {
        await rewrite(family);
        onRepair();
        log.info({ family }, "BIRD gives the kernel its routes anew: they differed");
      } catch (error) {
        log.warn({ family, error: messageOf(error) }, "cannot have BIRD write its routes anew");
      }
    }
  }

  /** Routes by BIRD's name that BIRD does not know: nobody else would take them away. */
  async #deleteStrays(before: readonly BgpDifference[]): Promise<void> {
    const now = await this.#compare();
    const known = new Set(before.map(({ prefix }) => prefix));
    for (const { prefix, bird, kernel } of now ?? []) {
      if (bird !== null || kernel === null || !known.has(prefix)) continue;
      try {
        this.#options.deleteRoute(prefix);
        this.#options.onRepair();
        this.#options.log.info({ prefix, kernel }, "deleted a route of BIRD's that BIRD does not know");
      } catch (error) {
        this.#options.log.warn({ prefix, error: messageOf(error) }, "cannot delete a route that BIRD does not know");
      }
    }
    this.#after(WRITTEN_MS, () => this.#look());
  }

  /** Undefined while they cannot be compared. */
  async #compare(): Promise<readonly BgpDifference[] | undefined> {
    const { isSettled, verify, log } = this.#options;
    try {
      if (!(await isSettled())) return undefined;
      const { failure, differences } = await verify();
      return failure === null ? differences : undefined;
    } catch (error) {
      log.warn({ error: messageOf(error) }, "cannot compare routes");
      return undefined;
    }
  }

  #tell(differences: readonly BgpDifference[]): void {
    const same = JSON.stringify(differences) === JSON.stringify(this.#differences);
    this.#differences = differences;
    if (same) return;
    const { log, onDifferences } = this.#options;
    if (differences.length === 0) log.info({}, "API, BIRD and kernel agree on all routes again");
    for (const { prefix, api, bird, kernel } of differences)
      log.warn({ prefix, api, bird, kernel }, "API, BIRD and kernel differ on a route");
    onDifferences(differences);
  }

  #after(delayMs: number, step: () => Promise<void>): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.schedule(delayMs, () => void step());
  }
}
