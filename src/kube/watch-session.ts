/**
 * One watch request and the doubt about it. A watch may hang: the connection stands, no byte comes and no error. Three
 * nets catch that, the quickest first:
 *
 *   TCP keep-alive      the peer's kernel is gone                    25 s      (transport.ts)
 *   idle check          the peer lives, the stream is dead           65-90 s   (here: probe, then watch anew)
 *   overall deadline    the server ignores timeoutSeconds            timeoutSeconds + slack
 *
 * kube-apiserver sends a bookmark a minute, so against it the idle check hardly ever runs.
 */
import { historyError, timeoutError } from "./api-error.ts";
import type { WatchOptions } from "./client.ts";
import type { Clock } from "./clock.ts";
import { type Collection, probeVersion } from "./lister.ts";
import { resourceName } from "./resource.ts";
import { isOlderVersion } from "./version.ts";

/** Spans of one watch, milliseconds but for the last. */
export interface WatchTiming {
  /** Silence after which the watch is doubted. */
  readonly idleMs: number;
  /** Longest wait for the answer of a probe. */
  readonly probeTimeoutMs: number;
  /** How much longer than it was asked to the server may keep the watch. */
  readonly slackMs: number;
  readonly timeoutSeconds: number;
}

export interface WatchSession {
  readonly collection: Collection<unknown>;
  readonly clock: Clock;
  readonly timing: WatchTiming;
  readonly signal: AbortSignal;
  /** Version to go on from now; grows with the events. */
  readonly version: () => string;
  readonly onContact: () => void;
  readonly onOpen: () => void;
  readonly onEvent: WatchOptions["onEvent"];
}

/** Ends a watch that is silent while the server moves on. */
const SILENT = Symbol("silent");

/**
 * Watches until the server ends it ("ended") or it is better begun anew from where it is ("silent").
 * @throws what the watch or the probe threw; BW_KUBE_HISTORY when the server is older than what we have
 */
export async function runWatch(session: WatchSession): Promise<"ended" | "silent"> {
  const { clock, timing, collection, signal } = session;
  const stop = new AbortController();
  const forward = () => stop.abort(signal.reason);
  signal.addEventListener("abort", forward, { once: true });
  const limitMs = timing.timeoutSeconds * 1000 + timing.slackMs;
  const overdue = () => stop.abort(timeoutError("end the watch of", resourceName(collection.resource), limitMs));
  const cancelDeadline = clock.schedule(limitMs, overdue);
  const idle = new IdleCheck(session, stop);
  try {
    signal.throwIfAborted();
    await collection.client.watch(collection.resource, {
      ...collection.selection,
      resourceVersion: session.version(),
      timeoutSeconds: timing.timeoutSeconds,
      signal: stop.signal,
      onOpen: session.onOpen,
      onActivity: () => {
        idle.touch();
        session.onContact();
      },
      onEvent: session.onEvent,
    });
    return "ended";
  } catch (error) {
    if (error === SILENT) return "silent";
    throw error;
  } finally {
    cancelDeadline();
    idle.cancel();
    signal.removeEventListener("abort", forward);
  }
}

/** Asks the server, after a while without bytes, whether there was anything to say. */
class IdleCheck {
  readonly #session: WatchSession;
  readonly #watch: AbortController;
  #lastByteAt: number;
  #cancel: () => void;

  constructor(session: WatchSession, watch: AbortController) {
    this.#session = session;
    this.#watch = watch;
    this.#lastByteAt = session.clock.now();
    this.#cancel = this.#arm(session.timing.idleMs);
  }

  touch(): void {
    this.#lastByteAt = this.#session.clock.now();
  }

  cancel(): void {
    this.#cancel();
  }

  /** The timer is not wound up for every byte; when it fires it looks how long the silence was. */
  #arm(delayMs: number): () => void {
    return this.#session.clock.schedule(delayMs, () => {
      const { clock, timing } = this.#session;
      const leftMs = this.#lastByteAt + timing.idleMs - clock.now();
      if (leftMs > 0) this.#cancel = this.#arm(leftMs);
      else void this.#doubt();
    });
  }

  async #doubt(): Promise<void> {
    const doubtedAt = this.#session.clock.now();
    try {
      const head = await checkedVersion(this.#session, this.#watch.signal);
      // Same version: nothing was written, so nothing is missing. Bytes meanwhile: it lives.
      if (head !== this.#session.version() && this.#lastByteAt < doubtedAt) return this.#watch.abort(SILENT);
    } catch (error) {
      return this.#watch.abort(error);
    }
    this.touch();
    if (!this.#watch.signal.aborted) this.#cancel = this.#arm(this.#session.timing.idleMs);
  }
}

/**
 * The server's newest version, checked to be no older than ours.
 * @throws BW_KUBE_HISTORY when it is older, BW_KUBE_TIMEOUT, and what the request throws
 */
export async function checkedVersion(
  session: Pick<WatchSession, "collection" | "clock" | "timing" | "version" | "onContact">,
  signal: AbortSignal,
): Promise<string> {
  const { collection, clock, timing } = session;
  const probe = new AbortController();
  const object = resourceName(collection.resource);
  const late = () => probe.abort(timeoutError("probe", object, timing.probeTimeoutMs));
  const cancelTimeout = clock.schedule(timing.probeTimeoutMs, late);
  const forward = () => probe.abort(signal.reason);
  signal.addEventListener("abort", forward, { once: true });
  try {
    signal.throwIfAborted();
    const head = await probeVersion(collection, probe.signal);
    if (isOlderVersion(head, session.version())) throw historyError(object, session.version(), head);
    session.onContact();
    return head;
  } finally {
    cancelTimeout();
    signal.removeEventListener("abort", forward);
  }
}
