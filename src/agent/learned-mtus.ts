/**
 * Makes kernels forget path MTUs that they learned from ICMP, on the node and in its pods, when paths carry more again.
 * They would believe them for ten minutes. Done more than once: the nodes of a cluster do not rise in the same instant,
 * and until the last one has, its ICMP is learned again by the others.
 */
import type { Kernel } from "../kernel/kernel.ts";
import type { PmtuCache } from "../kernel/rtnetlink/pmtu-cache.ts";
import type { Clock } from "../kube/clock.ts";
import { describeError } from "../model/errors.ts";
import type { LocalPod } from "../model/state.ts";
import type { Log } from "./log.ts";

export interface LearnedMtusOptions {
  readonly kernel: Pick<Kernel, "openPod">;
  /** Of the namespace that the calling thread is in. */
  readonly pmtuCache: PmtuCache;
  readonly pods: () => readonly LocalPod[];
  readonly clock: Clock;
  readonly log: Pick<Log, "warn">;
}

/** After a rise: at once, and when the others should have followed. */
const AFTER_MS = [0, 1000, 2000, 4000, 8000];
const LEAST_INTERVAL_MS = 900;

export class LearnedMtus implements Disposable {
  readonly #options: LearnedMtusOptions;
  #pending: (() => void)[] = [];
  #forgotMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: LearnedMtusOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    for (const cancel of this.#pending) cancel();
  }

  /** A path, or the pods' own MTU, became larger. */
  forgetSoon(): void {
    for (const cancel of this.#pending) cancel();
    this.#pending = AFTER_MS.map((delay) => this.#options.clock.schedule(delay, () => this.#forget()));
    // While many paths rise one behind the other, each of them begins this anew.
  }

  #forget(): void {
    const { kernel, pmtuCache, pods, clock } = this.#options;
    if (clock.now() - this.#forgotMs < LEAST_INTERVAL_MS) return;
    this.#forgotMs = clock.now();
    this.forgetOnNode();
    // One pod a turn: nobody waits for a hundred.
    for (const [i, { netns }] of pods().entries()) {
      clock.schedule(i, () => {
        if (this.#stopped) return;
        try {
          using namespace = kernel.openPod(netns);
          namespace.enter(() => pmtuCache.flush());
        } catch {
          // Its runtime is taking it away: nothing is left to forget.
        }
      });
    }
  }

  /** The node's own memory alone, now: what the tunnel's outer packets are measured by. */
  forgetOnNode(): void {
    try {
      this.#options.pmtuCache.flush();
    } catch (error) {
      this.#options.log.warn({}, `Cannot make the kernel forget old path MTUs: ${describeError(error)}`);
    }
  }
}
