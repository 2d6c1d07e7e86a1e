/**
 * Measures the API from a client's side: how long a small write takes, and when a watch tells of it. One ConfigMap of our
 * own is made, changed a few times with pauses between, and deleted.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { KubeClient } from "../../kube/client.ts";
import { asObject, asString } from "../../kube/json.ts";
import { configMaps } from "../../kube/resource.ts";
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
}

const FIELD = "count";

/** @throws BreakwaterError BW_KUBE_*, or BW_WATCH where a write is acknowledged and no event comes */
export async function measureApi(options: ApiLatencyOptions): Promise<ApiLatency> {
  const { client, namespace = "kube-system", writes = 20, pauseMs = 50, patienceMs = 10_000 } = options;
  const name = `breakwater-latency-${randomBytes(4).toString("hex")}`;
  const address = { resource: configMaps, namespace, name };
  const made = await client.create(configMaps, namespace, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name },
    data: { [FIELD]: "0" },
  });
  const stop = new AbortController();
  const events = new Map<string, number>();
  let arrived: () => void = () => undefined;
  const watching = client.watch(configMaps, {
    namespace,
    fieldSelector: `metadata.name=${name}`,
    resourceVersion: asString(asObject(made["metadata"])?.["resourceVersion"]) ?? "",
    timeoutSeconds: 300,
    signal: stop.signal,
    onEvent: ({ object }) => {
      const count = asString(asObject(asObject(object)?.["data"])?.[FIELD]);
      if (count !== undefined && !events.has(count)) events.set(count, performance.now());
      arrived();
    },
  });
  // Why it ended matters where an event is missed; there it is told.
  let broken: unknown;
  const ended = watching.catch((error: unknown) => {
    broken = error;
    arrived();
  });
  const samples: { write: number; seen: number }[] = [];
  try {
    for (let i = 1; i <= writes; i++) {
      const started = performance.now();
      await client.patch(address, { data: { [FIELD]: String(i) } }, { type: "merge" });
      const answered = performance.now();
      const until = answered + patienceMs;
      while (!events.has(String(i))) {
        const { promise, resolve } = Promise.withResolvers<void>();
        arrived = resolve;
        const timer = setTimeout(resolve, Math.max(0, until - performance.now()));
        await promise;
        clearTimeout(timer);
        if (!events.has(String(i)) && (broken !== undefined || performance.now() >= until))
          throw lost(patienceMs, broken);
      }
      samples.push({ write: answered - started, seen: (events.get(String(i)) ?? 0) - started });
      await pause(pauseMs);
    }
  } finally {
    stop.abort();
    await ended;
    await client.delete(address);
  }
  return {
    write: summarize(samples.map(({ write }) => write)),
    writeToWatch: summarize(samples.map(({ seen }) => seen)),
    behind: summarize(samples.map(({ write, seen }) => Math.max(0, seen - write))),
  };
}

function lost(patienceMs: number, cause: unknown): BreakwaterError {
  return new BreakwaterError("BW_WATCH", `A write was acknowledged, and no watch told of it within ${patienceMs} ms`, {
    operation: "watch",
    object: "ConfigMap",
    ...(cause === undefined ? {} : { cause }),
    remedy: "See the API server's log and its load: all agents and controllers wait for the same events",
  });
}
