/**
 * Measures the API from a client's side: how long a small write takes, and when a watch tells of it. One ConfigMap of our
 * own is made, changed a few times with pauses between, and deleted.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { KubeClient } from "../../kube/client.ts";
import { asObject, asString } from "../../kube/json.ts";
import { configMaps, type ObjectAddress } from "../../kube/resource.ts";
import { BreakwaterError } from "../../model/errors.ts";
import { type LatencySummary, summarize } from "../../model/latency.ts";

export interface ApiLatency {
  /** From the request to its answer. */
  readonly write: LatencySummary;
  /** From the request to the watch's event. */
  readonly writeToWatch: LatencySummary;
  /** From the answer to the watch's event; 0 where the event came first, as it often does. */
  readonly behind: LatencySummary;
}

export interface ApiLatencyOptions {
  readonly client: Pick<KubeClient, "create" | "patch" | "delete" | "watch">;
  /** @default "kube-system" */
  readonly namespace?: string;
  /** @default 20 */
  readonly writes?: number;
  /** Between two writes. @default 50 */
  readonly pauseMs?: number;
  /** Longest wait for an event. @default 10000 */
  readonly patienceMs?: number;
  /** Ends it early: it rejects once the ConfigMap is gone. */
  readonly signal?: AbortSignal;
}

const FIELD = "count";

/** @throws BreakwaterError BW_KUBE_*, or BW_WATCH where a write is acknowledged and no event comes */
export async function measureApi(options: ApiLatencyOptions): Promise<ApiLatency> {
  const { client, namespace = "kube-system" } = options;
  const name = `breakwater-latency-${randomBytes(4).toString("hex")}`;
  const address: ObjectAddress = { resource: configMaps, namespace, name };
  const made = await client.create(configMaps, namespace, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name },
    data: { [FIELD]: "0" },
  });
  const version = asString(asObject(made["metadata"])?.["resourceVersion"]) ?? "";
  let samples: Sample[];
  try {
    samples = await sample(address, version, options);
  } catch (error) {
    // An API that fails may fail at this, too: why it failed first is what counts.
    await client.delete(address).catch(() => undefined);
    throw error;
  }
  await client.delete(address);
  return {
    write: summarize(samples.map(({ write }) => write)),
    writeToWatch: summarize(samples.map(({ seen }) => seen)),
    behind: summarize(samples.map(({ write, seen }) => Math.max(0, seen - write))),
  };
}

/** Milliseconds since the request. */
interface Sample {
  readonly write: number;
  readonly seen: number;
}

async function sample(
  address: ObjectAddress,
  version: string,
  { client, writes = 20, pauseMs = 50, patienceMs = 10_000, signal }: ApiLatencyOptions,
): Promise<Sample[]> {
  const watch = new CountWatch(client, address, version, signal);
  const samples: Sample[] = [];
  try {
    for (let i = 1; i <= writes; i++) {
      signal?.throwIfAborted();
      const started = performance.now();
      await client.patch(address, { data: { [FIELD]: String(i) } }, { type: "merge" });
      const answered = performance.now();
      const seen = await watch.seen(String(i), patienceMs);
      samples.push({ write: answered - started, seen: seen - started });
      await pause(pauseMs, undefined, { signal });
    }
  } finally {
    await watch.end();
  }
  return samples;
}

/** When each count was told of. */
class CountWatch {
  readonly #events = new Map<string, number>();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal | undefined;
  readonly #ended: Promise<void>;
  /** Why it ended matters where an event is missed; there it is told. */
  #broken: unknown;
  #arrived: () => void = () => undefined;
  readonly #wake = () => this.#arrived();

  constructor(
    client: ApiLatencyOptions["client"],
    { resource, namespace = "", name }: ObjectAddress,
    resourceVersion: string,
    signal: AbortSignal | undefined,
  ) {
    this.#signal = signal;
    signal?.addEventListener("abort", this.#wake);
    const watching = client.watch(resource, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
      resourceVersion,
      timeoutSeconds: 300,
      signal: this.#stop.signal,
      onEvent: ({ object }) => {
        const count = asString(asObject(asObject(object)?.["data"])?.[FIELD]);
        if (count !== undefined && !this.#events.has(count)) this.#events.set(count, performance.now());
        this.#arrived();
      },
    });
    this.#ended = watching.catch((error: unknown) => {
      this.#broken = error;
      this.#arrived();
    });
  }

  /** @returns when it was told of, by performance.now() @throws BreakwaterError BW_WATCH */
  async seen(count: string, patienceMs: number): Promise<number> {
    const until = performance.now() + patienceMs;
    for (;;) {
      const at = this.#events.get(count);
      if (at !== undefined) return at;
      this.#signal?.throwIfAborted();
      if (this.#broken !== undefined || performance.now() >= until) throw lost(patienceMs, this.#broken);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#arrived = resolve;
      const timer = setTimeout(resolve, until - performance.now());
      await promise;
      clearTimeout(timer);
    }
  }

  async end(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#wake);
    this.#stop.abort();
    await this.#ended;
  }
}

function lost(patienceMs: number, cause: unknown): BreakwaterError {
  return new BreakwaterError("BW_WATCH", `A write was acknowledged, and no watch told of it within ${patienceMs} ms`, {
    operation: "watch",
    object: "ConfigMap",
    ...(cause === undefined ? {} : { cause }),
    remedy: "See the API server's log and its load: all agents and controllers wait for the same events",
  });
}
