/** The API measured against one whose watches are late or silent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient, WatchOptions } from "../../kube/client.ts";
import { isBreakwaterError } from "../../model/errors.ts";
import { measureApi } from "./api-latency.ts";

/** An API that answers at once, and tells its watch later. @param eventAfterMs undefined: never */
function anApi(eventAfterMs: number | undefined) {
  const calls: string[] = [];
  let watch: WatchOptions | undefined;
  const object = { metadata: { resourceVersion: "1" } };
  const client: Pick<KubeClient, "create" | "patch" | "delete" | "watch"> = {
    create: async () => {
      calls.push("create");
      return object;
    },
    patch: async (_, patch) => {
      calls.push("patch");
      const event = { type: "MODIFIED", object: { ...object, ...(patch as object) } } as const;
      if (eventAfterMs === 0) watch?.onEvent(event);
      else if (eventAfterMs !== undefined) setTimeout(() => watch?.onEvent(event), eventAfterMs);
      return object;
    },
    delete: async () => {
      calls.push("delete");
      return object;
    },
    watch: (_, options) => {
      watch = options;
      return new Promise((_resolve, reject) => {
        options.signal?.addEventListener("abort", () => reject(options.signal?.reason));
      });
    },
  };
  return { client, calls };
}

test("measureApi() tells how far the watch is behind the answer", async () => {
  const { client, calls } = anApi(30);
  const { write, writeToWatch, behind } = await measureApi({ client, writes: 5, pauseMs: 1 });
  assert.equal(write.samples, 5);
  assert.ok(behind.p50Ms >= 25 && writeToWatch.p50Ms >= behind.p50Ms, JSON.stringify({ behind, writeToWatch }));
  assert.ok(write.p50Ms < behind.p50Ms);
  assert.deepEqual(calls, ["create", "patch", "patch", "patch", "patch", "patch", "delete"]);
});

test("measureApi() takes an event before the answer for no delay", async () => {
  const { behind } = await measureApi({ client: anApi(0).client, writes: 3, pauseMs: 1 });
  assert.equal(behind.maxMs, 0);
});

test("measureApi() says so when no event comes, and leaves nothing behind", async () => {
  const { client, calls } = anApi(undefined);
  await assert.rejects(
    measureApi({ client, writes: 3, pauseMs: 1, patienceMs: 50 }),
    (error) => isBreakwaterError(error, "BW_WATCH") && /no watch told of it within 50 ms/.test(error.message),
  );
  assert.deepEqual(calls, ["create", "patch", "delete"]);
});

test("measureApi() can be stopped while it waits for an event, and leaves nothing behind", async () => {
  const { client, calls } = anApi(undefined);
  const stop = new AbortController();
  const measuring = measureApi({ client, patienceMs: 3_600_000, signal: stop.signal });
  setImmediate(() => stop.abort());
  await assert.rejects(measuring, { name: "AbortError" });
  assert.deepEqual(calls, ["create", "patch", "delete"]);
});

test("measureApi() says why it failed first where the ConfigMap cannot be deleted, either", async () => {
  const { client } = anApi(undefined);
  const refuses = () => Promise.reject(new Error("cannot delete"));
  const measuring = measureApi({ client: { ...client, delete: refuses }, writes: 1, patienceMs: 10 });
  await assert.rejects(measuring, (error) => isBreakwaterError(error, "BW_WATCH"));
});
