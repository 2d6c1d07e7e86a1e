/**
 * One of many does the work: leader election on a coordination.k8s.io/v1 Lease, as client-go does it (tools/leaderelection).
 * A lease counts for as long as its own duration from when *we* saw it last change, so that clocks of machines need not
 * agree; a leader that could not renew it in time stops before others may begin.
 */
import { messageOf } from "../model/errors.ts";
import { isConflict, isNotFound, KubeApiError } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import { type Clock, pause } from "./clock.ts";
import { asObject, asString, type JsonObject } from "./json.ts";
import { leases } from "./resource.ts";

export interface LeaderElectionOptions {
  readonly client: Pick<KubeClient, "get" | "create" | "update">;
  readonly namespace: string;
  /** Name of the Lease. */
  readonly name: string;
  /** Who we are, one of a kind. Whoever comes back by the same name goes on as leader. */
  readonly identity: string;
  readonly onStarted: () => void;
  /** Called at once when leading ends, also by {@link LeaderElection.stop}. */
  readonly onStopped: () => void;
  /** The Lease could not be read or written. */
  readonly onError: (why: string) => void;
  readonly clock: Clock;
  /** @default Date.now */
  readonly wallClock?: () => number;
  readonly timing?: Partial<ElectionTiming>;
}

/** Milliseconds. client-go's defaults, but that those who follow look less often: there may be a thousand. */
export interface ElectionTiming {
  /** For so long a Lease counts that is not renewed. */
  readonly leaseMs: number;
  /** A leader that could not renew for so long stops; less than leaseMs. */
  readonly renewDeadlineMs: number;
  /** How often a leader renews. */
  readonly retryMs: number;
  /** How often the others look, at least; up to a fifth more. */
  readonly followMs: number;
}

const DEFAULT_TIMING: ElectionTiming = { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2000, followMs: 10_000 };
/** Share of the wait that is added at random (client-go: JitterFactor). */
const JITTER = 0.2;

export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #timing: ElectionTiming;
  readonly #stop = new AbortController();
  #loop: Promise<void> | undefined;
  /** The Lease's spec as it was seen last, and when it had changed; the clock's milliseconds. */
  #seen = { text: "", at: 0 };
  #isLeader = false;
  #cancelDeadline: (() => void) | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Stops leading, and gives the Lease back, so that another need not wait. */
  async stop(): Promise<void> {
    const led = this.#isLeader;
    this.#stepDown();
    this.#stop.abort(new Error("the leader election was stopped"));
    await this.#loop;
    if (led) await this.#release();
  }

  async #run(): Promise<void> {
    const { clock, onError } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#look();
      } catch (error) {
        // Somebody else was faster: whoever it is, the next look tells.
        if (!signal.aborted && !isConflict(error)) onError(messageOf(error));
      }
      const { retryMs, followMs } = this.#timing;
      const waitMs = this.#isLeader ? retryMs : followMs * (1 + JITTER * clock.random());
      await pause(clock, waitMs, signal);
    }
  }

  /** Takes the Lease, or renews it, where it is ours or nobody's. */
  async #look(): Promise<void> {
    const { client, clock, identity } = this.#options;
    const lease = await this.#read();
    // Time is counted from before the write: the answer may take its time.
    const from = clock.now();
    if (lease === undefined) {
      await client.create(leases, this.#options.namespace, this.#object(this.#spec({}, identity)), this.#call());
      this.#lead(from);
      return;
    }
    const spec = asObject(lease["spec"]) ?? {};
    if (this.#isHeldByAnother(spec)) {
      this.#stepDown();
      return;
    }
    const object = { ...this.#object(this.#spec(spec, identity)), metadata: lease["metadata"] };
    await client.update(this.#address(), object, this.#call());
    this.#lead(from);
  }

  async #read(): Promise<JsonObject | undefined> {
    try {
      return await this.#options.client.get(this.#address(), this.#call());
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #isHeldByAnother(spec: JsonObject): boolean {
    const { clock, identity } = this.#options;
    const text = JSON.stringify(spec);
    if (text !== this.#seen.text) this.#seen = { text, at: clock.now() };
    const holder = asString(spec["holderIdentity"]) ?? "";
    if (holder === "" || holder === identity) return false;
    const seconds = spec["leaseDurationSeconds"];
    const durationMs = typeof seconds === "number" ? seconds * 1000 : this.#timing.leaseMs;
    return this.#seen.at + durationMs > clock.now();
  }

  /** @param from when the renewal was asked for */
  #lead(from: number): void {
    const { clock, onStarted } = this.#options;
    this.#cancelDeadline?.();
    if (this.#stop.signal.aborted) return;
    const leftMs = from + this.#timing.renewDeadlineMs - clock.now();
    this.#cancelDeadline = clock.schedule(Math.max(0, leftMs), () => this.#stepDown());
    if (this.#isLeader) return;
    this.#isLeader = true;
    onStarted();
  }

  #stepDown(): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = undefined;
    if (!this.#isLeader) return;
    this.#isLeader = false;
    this.#options.onStopped();
  }

  async #release(): Promise<void> {
    const { client, identity, onError } = this.#options;
    try {
      const lease = await client.get(this.#address(), { timeoutMs: this.#timing.retryMs });
      const spec = asObject(lease["spec"]) ?? {};
      if (spec["holderIdentity"] !== identity) return;
      const object = {
        ...this.#object({ ...this.#spec(spec, ""), leaseDurationSeconds: 1 }),
        metadata: lease["metadata"],
      };
      await client.update(this.#address(), object, { timeoutMs: this.#timing.retryMs });
    } catch (error) {
      // It runs out by itself.
      if (!(error instanceof KubeApiError && error.status < 500)) onError(messageOf(error));
    }
  }

  /** coordination.k8s.io/v1 LeaseSpec. */
  #spec(before: JsonObject, holder: string): JsonObject {
    const { identity, wallClock = Date.now } = this.#options;
    const now = new Date(wallClock()).toISOString().replace("Z", "000Z");
    const wasOurs = before["holderIdentity"] === identity;
    const transitions = before["leaseTransitions"];
    const count = typeof transitions === "number" ? transitions : undefined;
    return {
      ...before,
      holderIdentity: holder,
      leaseDurationSeconds: Math.ceil(this.#timing.leaseMs / 1000),
      acquireTime: wasOurs ? (before["acquireTime"] ?? now) : now,
      renewTime: now,
      leaseTransitions: count === undefined ? 0 : wasOurs ? count : count + 1,
    };
  }

  #object(spec: JsonObject): JsonObject {
    const { namespace, name } = this.#options;
    return { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { namespace, name }, spec };
  }

  #address() {
    const { namespace, name } = this.#options;
    return { resource: leases, namespace, name };
  }

  #call() {
    return { signal: this.#stop.signal, timeoutMs: this.#timing.renewDeadlineMs / 2 };
  }
}
