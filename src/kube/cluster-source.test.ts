import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { KubeClient } from "./client.ts";
import { type ClusterSource, startClusterSource } from "./cluster-source.ts";
import { ScriptedApi } from "./testing/scripted-api.ts";
import { until } from "./testing/until.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Rig {
  readonly api: ScriptedApi;
  readonly source: ClusterSource;
  readonly calls: () => number;
  /** Of what was told since the last time. */
  readonly takeKinds: () => string[];
  readonly problems: string[];
}

async function rig(): Promise<Rig> {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  api.put("nodes", { metadata: { name: "node1" }, spec: { podCIDR: "10.244.1.0/24" } });
  api.put("namespaces", { metadata: { name: "shop" } });
  api.put("pods", pod("mine", "node1"));
  api.put("pods", pod("elsewhere", "node2"));
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  let calls = 0;
  let seen: string[] = [];
  const problems: string[] = [];
  const source = startClusterSource({
    client,
    nodeName: "node1",
    onChange: (kinds) => {
      calls++;
      seen.push(...kinds);
    },
    onProblem: ({ resource, key, field, why }) => problems.push(`${resource} ${key} ${field}: ${why}`),
    timing: { backoffBaseMs: 1, backoffCapMs: 2 },
  });
  cleanups.push(() => source.stop());
  await source.synced;
  await until("all watches are open", () => source.state().every((state) => state.connected));
  const takeKinds = () => {
    const taken = seen;
    seen = [];
    return taken;
  };
  return { api, source, calls: () => calls, takeKinds, problems };
}

const pod = (name: string, nodeName: string, uid = `uid-${name}`) => ({
  metadata: { name, namespace: "shop", uid },
  spec: { nodeName },
});

test("startClusterSource() shows all nodes and namespaces, and the pods of this node only", async () => {
  const { source } = await rig();
  const { nodes, pods, namespaces } = source.view();
  assert.deepEqual([...nodes.keys()], ["node1"]);
  assert.deepEqual([...pods.keys()], ["shop/mine"]);
  assert.deepEqual([...namespaces.keys()], ["shop"]);
});

test("startClusterSource() calls onChange once for a burst of changes", async () => {
  const { api, source, calls } = await rig();
  await until("the first changes are told", () => calls() > 0);
  await setImmediate();
  const before = calls();
  for (let i = 0; i < 100; i++) api.put("nodes", { metadata: { name: `extra${i}` } });
  await until("all are there", () => source.view().nodes.size === 101);
  await setImmediate();
  assert.ok(calls() > before);
  assert.ok(calls() - before < 20, `${calls() - before} calls for 100 changes`);
});

test("startClusterSource() says of which kind a change is", async () => {
  const { api, calls, takeKinds } = await rig();
  const told = async (resource: string, object: Parameters<ScriptedApi["put"]>[1]) => {
    await setImmediate();
    takeKinds();
    const before = calls();
    api.put(resource, object);
    await until(`a change of ${resource} is told`, () => calls() > before);
    return takeKinds();
  };
  assert.deepEqual(await told("pods", { ...pod("mine", "node1"), status: { phase: "Running" } }), ["pods"]);
  assert.deepEqual(await told("namespaces", { metadata: { name: "other" } }), ["namespaces"]);
  assert.deepEqual(await told("nodes", { metadata: { name: "node9" } }), ["nodes"]);
});

test("startClusterSource() reports a field that makes no sense and keeps the node", async () => {
  const { api, source, problems } = await rig();
  api.put("nodes", { metadata: { name: "node2" }, spec: { podCIDR: "10.244.2.0/240" } });
  await until("node2 is there", () => source.view().nodes.has("node2"));
  assert.deepEqual(source.view().nodes.get("node2")?.podCidrs, []);
  assert.deepEqual(problems, ['nodes node2 spec.podCIDR: "10.244.2.0/240" is no CIDR']);
});

test("startClusterSource() stands on its last state while the API is away, and follows when it is back", async () => {
  const { api, source } = await rig();
  await api.close();
  await until("the loss is noticed", () => source.state().every((state) => !state.connected && state.errors > 1));
  assert.equal(source.view().nodes.size, 1);
  await api.restart(9000);
  api.put("nodes", { metadata: { name: "node2" } });
  await until("node2 is there", () => source.view().nodes.has("node2"));
});

test("startClusterSource() refuses an empty node name", () => {
  const client = new KubeClient({ ...connectionToNowhere });
  const start = () => startClusterSource({ client, nodeName: "", onChange: () => {}, onProblem: () => {} });
  assert.throws(start, RangeError);
  client.close();
});

const connectionToNowhere = {
  origin: "a test",
  server: new URL("http://127.0.0.1:1"),
  insecureSkipTlsVerify: false,
  namespace: "default",
  credentialSource: { credentials: () => Promise.resolve({}), invalidate: () => {} },
};

test("ClusterSource.findPod() answers from the view without asking", async () => {
  const { api, source } = await rig();
  assert.equal((await source.findPod("shop", "mine"))?.uid, "uid-mine");
  assert.equal((await source.findPod("shop", "mine", "uid-mine"))?.uid, "uid-mine");
  assert.equal(api.count("get"), 0);
});

test("ClusterSource.findPod() asks the API for what the view does not have, or has of an older pod", async () => {
  const { api, source } = await rig();
  assert.equal((await source.findPod("shop", "elsewhere"))?.nodeName, "node2");
  api.mute = true;
  api.put("pods", pod("mine", "node1", "uid-second"));
  assert.equal((await source.findPod("shop", "mine", "uid-second"))?.uid, "uid-second");
  assert.equal(api.count("get"), 2);
});

test("ClusterSource.findPod() tells a pod that is not there from an API that is not there", async () => {
  const { api, source } = await rig();
  assert.equal(await source.findPod("shop", "nobody"), undefined);
  api.fail("get", { status: 503 });
  await assert.rejects(source.findPod("shop", "nobody"), { code: "BW_KUBE_SERVER" });
});

test("ClusterSource.stop() calls nobody any more and leaves no connection", async () => {
  const { api, source, calls } = await rig();
  await source.stop();
  const before = calls();
  api.put("nodes", { metadata: { name: "late" } });
  await until("the watches are closed", () => api.watching === 0);
  await setImmediate();
  assert.equal(calls(), before);
});
