/**
 * Writes Kubernetes Events (core/v1), so that `kubectl describe` shows what the agent found. Repeats become a count on
 * one Event, each object may cause only so many, and nothing waits for the API: events queue while it is away.
 * Aggregation and limits follow client-go's tools/record (events_cache.go).
 */
import { createHash } from "node:crypto";
import { messageOf } from "../model/errors.ts";
import { isNotFound, KubeApiError } from "./api-error.ts";
import { Backoff } from "./backoff.ts";
import type { KubeClient } from "./client.ts";
import { type Clock, pause, systemClock } from "./clock.ts";
import { events } from "./resource.ts";

/** The object an event is about. */
export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** Absent for what has no namespace; its events go to "default", as the kubelet's for Nodes do. */
  readonly namespace?: string;
  readonly uid?: string;
}

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, "create" | "patch">;
  /** Who reports: "breakwater-agent". */
  readonly component: string;
  /** The node it runs on. */
  readonly host?: string;
  /** An event that was not written, and why. */
  readonly onDropped: (reason: string, subject: EventSubject, why: string) => void;
  readonly clock?: Clock;
  /** Milliseconds since 1970, for timestamps. @default Date.now */
  readonly wallClock?: () => number;
}

/** Per subject: this many at once, then one in five minutes (client-go: EventSourceObjectSpamFilter). */
const BURST = 25;
const REFILL_MS = 300_000;
/** Distinct events remembered for counting, and most that wait for the API. */
const REMEMBERED = 512;
const QUEUED = 100;
/** metadata.name is the subject's name and a suffix, and a DNS subdomain has 253 characters. */
const NAME_LIMIT = 253;

/** One Event object of the API, and how much of it is written. */
interface Tally {
  readonly subject: EventSubject;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  readonly name: string;
  readonly firstAt: string;
  lastAt: string;
  count: number;
  /** It exists in the API: the next write is a patch of its count. */
  written: boolean;
}

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #wallClock: () => number;
  readonly #stop = new AbortController();
  /** In order of last use, oldest first. */
  readonly #tallies = new Map<string, Tally>();
  readonly #budgets = new Map<string, { tokens: number; at: number }>();
  readonly #queue = new Set<Tally>();
  #worker: Promise<void> | undefined;
  #serial = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#wallClock = options.wallClock ?? Date.now;
  }

  /**
   * Records an event. Returns at once and never throws; what could not be written is told to `onDropped`.
   * @param shared all nodes find the same, and say it in one Event: whoever comes first makes it
   */
  record(subject: EventSubject, type: "Normal" | "Warning", reason: string, message: string, shared = false): void {
    if (this.#stop.signal.aborted) return;
    if (!this.#spend(subject)) {
      this.#options.onDropped(reason, subject, "too many events about this object");
      return;
    }
    const tally = this.#tally(subject, type, reason, message, shared);
    tally.count++;
    tally.lastAt = this.#timestamp();
    this.#enqueue(tally);
  }

  /** Resolves when everything recorded so far was written or dropped. */
  async flushed(): Promise<void> {
    await this.#worker;
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error("the event recorder was stopped"));
    await this.#worker;
  }

  /** Takes one token of the subject's bucket. */
  #spend(subject: EventSubject): boolean {
    const key = subjectKey(subject);
    const now = this.#clock.now();
    const bucket = this.#budgets.get(key) ?? { tokens: BURST, at: now };
    const tokens = Math.min(BURST, bucket.tokens + (now - bucket.at) / REFILL_MS);
    remember(this.#budgets, key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
    return tokens >= 1;
  }

  #tally(subject: EventSubject, type: Tally["type"], reason: string, message: string, shared: boolean): Tally {
    const key = [subjectKey(subject), type, reason, message].join("\n");
    const suffix = () => (shared ? createHash("sha256").update(key).digest("hex").slice(0, 16) : this.#newSuffix());
    const tally = this.#tallies.get(key) ?? this.#newTally(subject, type, reason, message, `.${suffix()}`);
    remember(this.#tallies, key, tally);
    return tally;
  }

  #newSuffix(): string {
    return `${this.#wallClock().toString(16)}${(this.#serial++ & 0xfff).toString(16).padStart(3, "0")}`;
  }

  #newTally(subject: EventSubject, type: Tally["type"], reason: string, message: string, suffix: string): Tally {
    const at = this.#timestamp();
    const name = `${subject.name.slice(0, NAME_LIMIT - suffix.length)}${suffix}`;
    return { subject, type, reason, message, name, firstAt: at, lastAt: at, count: 0, written: false };
  }

  #timestamp(): string {
    // metav1.Time has whole seconds.
    return new Date(this.#wallClock()).toISOString().replace(/\.\d+Z$/, "Z");
  }

  #enqueue(tally: Tally): void {
    this.#queue.add(tally);
    const [oldest] = this.#queue;
    if (this.#queue.size > QUEUED && oldest !== undefined) {
      this.#queue.delete(oldest);
      this.#options.onDropped(oldest.reason, oldest.subject, `more than ${QUEUED} events wait for the API`);
    }
    this.#worker ??= this.#drain();
  }

  async #drain(): Promise<void> {
    const backoff = new Backoff({ random: this.#clock.random });
    for (let [tally] = this.#queue; tally !== undefined && !this.#stop.signal.aborted; [tally] = this.#queue) {
      this.#queue.delete(tally);
      await this.#attempt(tally, backoff);
    }
    // In the same turn as the last look at the queue, so that nothing recorded next is left waiting.
    this.#worker = undefined;
  }

  async #attempt(tally: Tally, backoff: Backoff): Promise<void> {
    try {
      await this.#write(tally);
      backoff.reset();
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (isRefusal(error)) {
        this.#options.onDropped(tally.reason, tally.subject, messageOf(error));
        return;
      }
      this.#queue.add(tally);
      await pause(this.#clock, backoff.next(), this.#stop.signal);
    }
  }

  async #write(tally: Tally): Promise<void> {
    if (!tally.written) return this.#create(tally);
    const namespace = eventNamespace(tally.subject);
    const patch = { count: tally.count, lastTimestamp: tally.lastAt };
    const { signal } = this.#stop;
    try {
      await this.#options.client.patch({ resource: events, namespace, name: tally.name }, patch, {
        type: "merge",
        signal,
      });
    } catch (error) {
      // Events live an hour by default (kube-apiserver --event-ttl); a longer story begins anew.
      if (!isNotFound(error)) throw error;
      await this.#create(tally);
    }
  }

  async #create(tally: Tally): Promise<void> {
    const { signal } = this.#stop;
    const event = this.#eventObject(tally);
    try {
      await this.#options.client.create(events, eventNamespace(tally.subject), event, { signal });
    } catch (error) {
      // The answer to an earlier try was lost on its way, or another node was first: it is there.
      if (!(error instanceof KubeApiError && error.reason === "AlreadyExists")) throw error;
    }
    tally.written = true;
  }

  #eventObject(tally: Tally): Readonly<Record<string, unknown>> {
    const { subject, component, host } = { ...this.#options, subject: tally.subject };
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: tally.name, namespace: eventNamespace(subject) },
      involvedObject: { ...subject },
      type: tally.type,
      reason: tally.reason,
      message: tally.message,
      source: { component, ...(host === undefined ? {} : { host }) },
      reportingComponent: component,
      reportingInstance: host ?? "",
      firstTimestamp: tally.firstAt,
      lastTimestamp: tally.lastAt,
      count: tally.count,
    };
  }
}

function subjectKey(subject: EventSubject): string {
  return [subject.apiVersion, subject.kind, subject.namespace ?? "", subject.name, subject.uid ?? ""].join("/");
}

function eventNamespace(subject: EventSubject): string {
  return subject.namespace ?? "default";
}

/** The server understood and will not: trying again does not help. */
function isRefusal(error: unknown): boolean {
  return error instanceof KubeApiError && error.status < 500 && error.status !== 429 && error.status !== 401;
}

/** Puts a key last and forgets the oldest beyond {@link REMEMBERED}. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > REMEMBERED && oldest !== undefined) map.delete(oldest);
}
