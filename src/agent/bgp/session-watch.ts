/** How a node's sessions are, as its BIRD says: the report, metrics, and log lines when they come and go. */
import type { BgpPlan } from "../../model/bgp.ts";
import type { BgpSessionReport } from "../../model/bgp-report.ts";
import type { Log } from "../log.ts";
import type { BgpMetrics } from "./bgp-metrics.ts";
import type { BirdProtocol } from "./bird-status.ts";
import { SessionErrors } from "./session-errors.ts";

export const ESTABLISHED = "Established";

export class SessionWatch {
  readonly #metrics: BgpMetrics;
  readonly #log: Log;
  readonly #errors: SessionErrors;
  readonly #established = new Set<string>();
  #sessions: readonly BgpSessionReport[] = [];

  constructor(metrics: BgpMetrics, log: Log, errors = new SessionErrors()) {
    this.#metrics = metrics;
    this.#log = log;
    this.#errors = errors;
  }

  get sessions(): readonly BgpSessionReport[] {
    return this.#sessions;
  }

  get allEstablished(): boolean {
    return this.#sessions.every(({ state }) => state === ESTABLISHED);
  }

  /**
   * BIRD was asked.
   * @param failure why BIRD does not run, where it does not
   */
  follow(plan: BgpPlan | undefined, protocols: readonly BirdProtocol[], failure: string | undefined): void {
    const byName = new Map(protocols.map((protocol) => [protocol.name, protocol]));
    this.#errors.look();
    this.#sessions = (plan?.sessions ?? []).map(({ protocol, kind, peer, address, asNumber }) => {
      const said = byName.get(protocol);
      const { bgpState = "Unknown", since = null, lastError = null } = said ?? {};
      return {
        ...{ protocol, kind, peer, address, asNumber },
        state: bgpState,
        since,
        channels: said?.channels ?? [],
        lastError: said === undefined ? (failure ?? null) : this.#errors.explain(protocol, bgpState, since, lastError),
      };
    });
    this.#noticeChanges();
  }

  /** Called when metrics are read. */
  collect(): void {
    const { up, prefixes } = this.#metrics;
    up.reset();
    prefixes.reset();
    for (const { peer, kind, state, channels } of this.#sessions) {
      up.set({ peer, kind }, state === ESTABLISHED ? 1 : 0);
      for (const { family, imported, exported } of channels) {
        prefixes.set({ peer, family: `ipv${family}`, direction: "in" }, imported);
        prefixes.set({ peer, family: `ipv${family}`, direction: "out" }, exported);
      }
    }
  }

  #noticeChanges(): void {
    const wanted = new Set(this.#sessions.map(({ protocol }) => protocol));
    for (const protocol of this.#established) if (!wanted.has(protocol)) this.#established.delete(protocol);
    for (const { protocol, peer, address, state, lastError } of this.#sessions) {
      const was = this.#established.has(protocol);
      const is = state === ESTABLISHED;
      if (was === is) continue;
      if (is) {
        this.#established.add(protocol);
        this.#log.info({ peer, address }, "BGP session established");
      } else {
        this.#established.delete(protocol);
        this.#metrics.flaps.inc({ peer });
        this.#log.warn({ peer, address, state, lastError }, "BGP session lost");
      }
    }
  }
}
