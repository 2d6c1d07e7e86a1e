/**
 * Network programming latency as kube-proxy measures it: from what triggered the newest change of a Service's slices
 * (annotation endpoints.kubernetes.io/last-change-trigger-time) until its rules are in.
 */
import type { Histogram } from "prom-client";
import type { EndpointSlice } from "../../model/service.ts";

export class ProgrammingLatency {
  readonly #histogram: Pick<Histogram, "observe">;
  readonly #wallSeconds: () => number;
  /** Newest trigger by Service, milliseconds since 1970. */
  readonly #triggers = new Map<string, number>();
  /** Triggers whose rules are not in yet. */
  #due: number[] = [];

  constructor(histogram: Pick<Histogram, "observe">, wallSeconds: () => number) {
    this.#histogram = histogram;
    this.#wallSeconds = wallSeconds;
  }

  /** A Service was planned. @param counts false for what was there before the agent, which is no measure of it */
  note(key: string, slices: readonly EndpointSlice[], counts: boolean): void {
    let newest = 0;
    for (const { triggeredAt } of slices) {
      if (triggeredAt !== undefined) newest = Math.max(newest, Date.parse(triggeredAt) || 0);
    }
    const before = this.#triggers.get(key);
    if (newest === 0) this.#triggers.delete(key);
    else this.#triggers.set(key, newest);
    if (counts && newest !== 0 && before !== newest) this.#due.push(newest);
  }

  /** The rules of all that was planned are in. */
  settle(): void {
    for (const trigger of this.#due) this.#histogram.observe(Math.max(0, this.#wallSeconds() - trigger / 1000));
    this.#due = [];
  }
}
