/**
 * Flows of pods that are gone. Connection tracking goes on to know them, and would let them pass as established to whoever
 * gets the address next, whatever its policies say: they are deleted before a pod gets an address.
 *
 * The kernel compares no addresses of IPv6, so one listing of them costs what the whole table does (14 ms with 262,144
 * buckets): of those that is mostly done when the pod before has gone, and no pod waits for it.
 */
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { Clock } from "../../kube/clock.ts";
import { messageOf } from "../../model/errors.ts";
import { type Ip, ipFamily } from "../../model/ip.ts";
import type { Log } from "../log.ts";

/** Pods that go together are one listing. */
const SWEEP_MS = 500;

export interface FormerFlowsOptions {
  readonly conntrack: Conntrack;
  readonly clock: Clock;
  readonly log: Log;
}

export class FormerFlows implements Disposable {
  readonly #options: FormerFlowsOptions;
  /** Addresses that no pod has, and of which nothing is tracked. Of others nobody knows. */
  readonly #clean = new Set<Ip>();
  /** Addresses that pods have left. */
  readonly #left = new Set<Ip>();
  #cancel: (() => void) | undefined;

  constructor(options: FormerFlowsOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  /** A pod is about to get these addresses: what is tracked of them from now on is its own. @returns those of which older flows may be tracked */
  take(ips: readonly Ip[]): readonly Ip[] {
    const unknown = ips.filter((ip) => ipFamily(ip) === 4 || !this.#clean.has(ip));
    for (const ip of ips) {
      this.#clean.delete(ip);
      this.#left.delete(ip);
    }
    return unknown;
  }

  /** A pod that had these addresses is gone. */
  leave(ips: readonly Ip[]): void {
    for (const ip of ips) this.#left.add(ip);
    this.#cancel ??= this.#options.clock.schedule(SWEEP_MS, () => {
      this.#cancel = undefined;
      this.#sweep();
    });
  }

  /** Both directions; behind a Service's address the endpoint is who answers. @throws BreakwaterError BW_NETLINK */
  cut(ips: readonly Ip[]): void {
    const { conntrack } = this.#options;
    for (const source of ips) {
      if (ipFamily(source) === 6) continue;
      conntrack.deleteMatching({ family: 4, original: { source } });
      conntrack.deleteMatching({ family: 4, reply: { source } });
    }
    const six = new Set(ips.filter((ip) => ipFamily(ip) === 6));
    if (six.size === 0) return;
    for (const entry of conntrack.entriesOf(6)) {
      if (six.has(entry.original.source) || six.has(entry.reply.source)) conntrack.deleteEntry(entry);
    }
  }

  #sweep(): void {
    const ips = [...this.#left];
    this.#left.clear();
    try {
      this.cut(ips);
      for (const ip of ips) this.#clean.add(ip);
    } catch (error) {
      // Whoever gets one of them next tries again.
      this.#options.log.warn({ error: messageOf(error) }, "cannot cut connections of pods that are gone");
    }
  }
}
