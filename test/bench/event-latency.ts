/** How long a change takes from the API to the kernel, where the API server runs in the benchmark's process. */
import { setImmediate as turnOver } from "node:timers/promises";

export interface EventLatency {
  /** From the write in the API's store on, milliseconds. */
  readonly fromWrite: number;
  /** From when the watch's event was on its way to the agent, milliseconds. */
  readonly fromEvent: number;
}

/**
 * @param write changes the store: the server sends what its watches hear behind the same turn of the event loop
 * @param kernel resolves with the time at which the kernel announced it
 */
export async function eventLatency(write: () => void, kernel: Promise<number>): Promise<EventLatency> {
  const written = performance.now();
  write();
  // Behind the server's own callback of this turn, which was asked for by the write.
  await turnOver();
  const sent = performance.now();
  const ended = await kernel;
  return { fromWrite: ended - written, fromEvent: ended - sent };
}
