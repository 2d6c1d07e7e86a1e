/** A {@link Clock} that stands still until a test moves it. */
import type { Clock } from "../clock.ts";

export class ManualClock implements Clock {
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  /** What the dice show next; the last one repeats. */
  readonly dice: number[];
  #now = 0;

  constructor(...dice: number[]) {
    this.dice = dice.length === 0 ? [0.5] : dice;
  }

  now = (): number => this.#now;

  random = (): number => (this.dice.length > 1 ? (this.dice.shift() ?? 0) : (this.dice[0] ?? 0));

  schedule = (delayMs: number, callback: () => void): (() => void) => {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** How long until each pending timer fires, shortest first. */
  delays(): number[] {
    return [...this.#timers].map((timer) => timer.at - this.#now).sort((a, b) => a - b);
  }

  /** Moves on and fires what is due, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let due = this.#next(end); due !== undefined; due = this.#next(end)) {
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
    }
    this.#now = end;
  }

  #next(end: number): { readonly at: number; readonly callback: () => void } | undefined {
    return [...this.#timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
  }
}
