import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { KubeClient } from "./client.ts";
import { type ServiceSource, startServiceSource } from "./service-source.ts";
import { ScriptedApi, type StoredObject } from "./testing/scripted-api.ts";
import { service, slice } from "./testing/service-objects.ts";
import { until } from "./testing/until.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Rig {
  readonly api: ScriptedApi;
  readonly source: ServiceSource;
  readonly problems: string[];
  calls(): number;
  /** Resolves when every event of the server has arrived. */
  caughtUp(): Promise<void>;
}

async function rig(...objects: readonly (readonly [string, StoredObject])[]): Promise<Rig> {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  for (const [plural, object] of objects) api.put(plural, object);
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  let calls = 0;
  const problems: string[] = [];
  const source = startServiceSource({
    client,
    onChange: () => calls++,
    onProblem: ({ resource, key, field, why }) => problems.push(`${resource} ${key} ${field}: ${why}`),
    timing: { backoffBaseMs: 1, backoffCapMs: 2 },
  });
  cleanups.push(() => source.stop());
  await source.synced;
  const caughtUp = async () => {
    await until("all watches are open", () => source.state().every((state) => state.connected));
    api.version++;
    api.bookmark();
    const head = String(api.version);
    await until("all is seen", () => source.state().every((state) => state.lastResourceVersion === head));
  };
  await caughtUp();
  return { api, source, problems, calls: () => calls, caughtUp };
}

const names = (source: ServiceSource, key: string) => source.slicesOf(key).map(({ name }) => name);

test("startServiceSource() shows Services, and slices by Service in the order of their names", async () => {
  const { source } = await rig(
    ["services", service("web")],
    ["endpointslices", slice("web-2", "web")],
    ["endpointslices", slice("web-1", "web")],
    ["endpointslices", slice("db-1", "db")],
  );
  assert.deepEqual([...source.services().keys()], ["shop/web"]);
  assert.deepEqual(names(source, "shop/web"), ["web-1", "web-2"]);
  assert.deepEqual(names(source, "shop/db"), ["db-1"]);
  assert.deepEqual(source.slicesOf("shop/none"), []);
  assert.deepEqual(source.takeChanged(), new Set(["shop/web", "shop/db"]));
  assert.deepEqual(source.takeChanged(), new Set());
});

test("takeChanged() names the Service of one changed slice and no other", async () => {
  const { api, source, caughtUp } = await rig(
    ["services", service("web")],
    ["services", service("db")],
    ["endpointslices", slice("web-1", "web")],
    ["endpointslices", slice("db-1", "db")],
  );
  source.takeChanged();
  const untouched = source.slicesOf("shop/db");
  api.put("endpointslices", slice("web-1", "web", ["10.0.0.9"]));
  await caughtUp();
  assert.deepEqual(source.takeChanged(), new Set(["shop/web"]));
  assert.deepEqual(
    source.slicesOf("shop/web")[0]?.endpoints.map(({ address }) => address),
    ["10.0.0.9"],
  );
  assert.equal(source.slicesOf("shop/db"), untouched, "the same list while nothing happens");
});

test("takeChanged() names both Services of a slice that moves between them", async () => {
  const { api, source, caughtUp } = await rig(["endpointslices", slice("moving", "web")]);
  source.takeChanged();
  api.put("endpointslices", slice("moving", "db"));
  await caughtUp();
  assert.deepEqual(source.takeChanged(), new Set(["shop/web", "shop/db"]));
  assert.deepEqual([names(source, "shop/web"), names(source, "shop/db")], [[], ["moving"]]);
});

test("takeChanged() names a Service that is gone, and one whose last slice is", async () => {
  const { api, source, caughtUp } = await rig(["services", service("web")], ["endpointslices", slice("db-1", "db")]);
  source.takeChanged();
  api.remove("services", "web", "shop");
  api.remove("endpointslices", "db-1", "shop");
  await caughtUp();
  assert.deepEqual(source.takeChanged(), new Set(["shop/web", "shop/db"]));
  assert.deepEqual(source.slicesOf("shop/db"), []);
});

test("takeChanged() is empty after a change that nothing reads", async () => {
  const { api, source, caughtUp, calls } = await rig(["endpointslices", slice("web-1", "web")]);
  source.takeChanged();
  const before = calls();
  const same = slice("web-1", "web");
  api.put("endpointslices", { ...same, metadata: { ...same.metadata, annotations: { note: "new" } } });
  await caughtUp();
  assert.deepEqual(source.takeChanged(), new Set());
  assert.equal(calls(), before);
});

test("takeChanged() names exactly what a new list brought", async () => {
  const { api, source } = await rig(
    ["services", service("web")],
    ["endpointslices", slice("web-1", "web")],
    ["endpointslices", slice("db-1", "db")],
    ["endpointslices", slice("old-1", "old")],
  );
  source.takeChanged();
  await api.close();
  api.put("endpointslices", slice("db-1", "db", ["10.0.0.9"]));
  api.put("endpointslices", slice("new-1", "new"));
  api.remove("endpointslices", "old-1", "shop");
  await api.restart(9000);
  await until("it is listed again", () => source.state().every(({ relists }) => relists > 0));
  assert.deepEqual(source.takeChanged(), new Set(["shop/db", "shop/new", "shop/old"]));
});

test("startServiceSource() does not ask for slices of headless Services and of other proxies'", async () => {
  const { api, source, caughtUp } = await rig(["endpointslices", slice("web-1", "web")]);
  const labelled = slice("web-1", "web");
  const labels = { ...labelled.metadata.labels, "service.kubernetes.io/service-proxy-name": "mesh" };
  api.put("endpointslices", { ...labelled, metadata: { ...labelled.metadata, labels } });
  await caughtUp();
  assert.deepEqual(source.slicesOf("shop/web"), []);
  api.put("endpointslices", labelled);
  await caughtUp();
  assert.deepEqual(names(source, "shop/web"), ["web-1"]);
});

test("startServiceSource() drops a slice that lost its Service, and keeps a Service that cannot be read", async () => {
  const { api, source, problems, caughtUp } = await rig(
    ["services", service("web")],
    ["endpointslices", slice("web-1", "web")],
  );
  const { metadata, ...rest } = slice("web-1", "web");
  api.put("endpointslices", { ...rest, metadata: { ...metadata, labels: {} } });
  api.put("services", { ...service("web"), spec: { clusterIPs: ["nonsense"] } });
  await caughtUp();
  assert.deepEqual(source.slicesOf("shop/web"), []);
  assert.deepEqual(source.services().get("shop/web")?.clusterIps, []);
  assert.deepEqual(problems, ['services shop/web spec.clusterIPs[0]: "nonsense" is no IP address']);
});

test("startServiceSource() calls onChange once for a burst of changes", async () => {
  const { api, calls, source, caughtUp } = await rig(["services", service("web")]);
  await setImmediate();
  const before = calls();
  for (let i = 0; i < 200; i++) api.put("endpointslices", slice(`web-${i}`, "web"));
  await caughtUp();
  await setImmediate();
  assert.equal(source.slicesOf("shop/web").length, 200);
  assert.ok(calls() > before);
  assert.ok(calls() - before < 30, `${calls() - before} calls for 200 changes`);
});

test("ServiceSource.stop() calls nobody any more and leaves no connection", async () => {
  const { api, source, calls } = await rig(["services", service("web")]);
  await source.stop();
  const before = calls();
  api.put("services", service("late"));
  await until("the watches are closed", () => api.watching === 0);
  await setImmediate();
  assert.equal(calls(), before);
});
