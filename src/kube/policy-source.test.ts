/** What is watched for policies, and when. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { KubeApiError } from "./api-error.ts";
import { KubeClient } from "./client.ts";
import { type PolicySource, startPolicySource } from "./policy-source.ts";
import { ManualClock } from "./testing/manual-clock.ts";
import { cleanUp, cleanups } from "./testing/reflector-rig.ts";
import { ScriptedApi } from "./testing/scripted-api.ts";
import { until } from "./testing/until.ts";

afterEach(cleanUp);

interface Rig {
  readonly api: ScriptedApi;
  readonly source: PolicySource;
  readonly problems: string[];
  /** Collections that were asked for. */
  asked(): string[];
}

async function rig(withClusterNetworkPolicies: boolean, prepare: (api: ScriptedApi) => void): Promise<Rig> {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  prepare(api);
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  const problems: string[] = [];
  const source = startPolicySource({
    client,
    withClusterNetworkPolicies,
    onChange: () => undefined,
    onProblem: ({ key, field, why }) => problems.push(`${key} ${field}: ${why}`),
    clock: new ManualClock(0.5),
  });
  cleanups.push(() => source.stop());
  const asked = () => [...new Set(api.requests.map(({ path }) => path.split("/").at(-1) ?? ""))].sort();
  return { api, source, problems, asked };
}

const pod = { metadata: { namespace: "x", name: "a" }, spec: { nodeName: "node1" }, status: { podIPs: [] } };
const cluster = { metadata: { name: "c" }, spec: { tier: "Admin", priority: 5, subject: { namespaces: {} } } };
const networkPolicy = { metadata: { namespace: "x", name: "n" }, spec: { podSelector: {} } };

test("startPolicySource() asks for NetworkPolicies alone where there are none", async () => {
  const { source, asked } = await rig(false, (api) => {
    api.put("pods", pod);
    api.put("clusternetworkpolicies", cluster);
  });
  await source.synced;
  await until("it watches", () => source.state().every(({ connected }) => connected));
  assert.deepEqual(asked(), ["networkpolicies"]);
  assert.deepEqual([source.complete(), source.clusterNetworkPolicies().size], [true, 0]);
});

test("startPolicySource() asks for ClusterNetworkPolicies where they are wanted, and for pods behind the first", async () => {
  const { source, asked, api } = await rig(true, (rigged) => rigged.put("pods", pod));
  await source.synced;
  assert.equal(source.complete(), true);
  assert.deepEqual(asked(), ["clusternetworkpolicies", "networkpolicies"]);
  await until("it watches", () => api.watching === 2);
  api.put("clusternetworkpolicies", cluster);
  await until("the policy is known", () => source.clusterNetworkPolicies().size === 1);
  await until("pods are known", () => source.complete());
  assert.deepEqual([...source.pods().keys()], ["x/a"]);
});

test("startPolicySource() is synced with pods when either kind of policy was there from the start", async () => {
  for (const [plural, object] of [
    ["networkpolicies", networkPolicy],
    ["clusternetworkpolicies", cluster],
  ] as const) {
    const { source } = await rig(true, (api) => {
      api.put("pods", pod);
      api.put(plural, object);
    });
    await source.synced;
    assert.deepEqual([source.complete(), [...source.pods().keys()]], [true, ["x/a"]], plural);
  }
});

test("startPolicySource() works in a cluster that does not know ClusterNetworkPolicies", async () => {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  api.put("clusternetworkpolicies", cluster);
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  let looks = 0;
  const listPage: KubeClient["listPage"] = async (resource, ...rest) => {
    if (resource.plural !== "clusternetworkpolicies" || looks++ > 0) return client.listPage(resource, ...rest);
    throw new KubeApiError({ status: 404, reason: "NotFound", message: "" }, { operation: "list", object: "policies" });
  };
  const errors: string[] = [];
  const clock = new ManualClock(0.5);
  const source = startPolicySource({
    client: { listPage, watch: client.watch.bind(client) },
    withClusterNetworkPolicies: true,
    onChange: () => undefined,
    onProblem: () => undefined,
    onError: (resource, error) => errors.push(`${resource}: ${error.message}`),
    clock,
  });
  cleanups.push(() => source.stop());
  await source.synced;
  assert.deepEqual([errors, source.complete(), source.clusterNetworkPolicies().size], [[], true, 0]);
  clock.advance(30_000);
  await until("the definition is found", () => source.clusterNetworkPolicies().size === 1);
});

test("startPolicySource() keeps with a policy what of it is not understood", async () => {
  const bad = { ...cluster, spec: { ...cluster.spec, tier: "Top", ingress: [{ action: "Deny", from: [{}] }] } };
  const { source, problems } = await rig(true, (api) => api.put("clusternetworkpolicies", bad));
  await source.synced;
  const policy = source.clusterNetworkPolicies().get("c");
  assert.equal(policy?.problems?.length, 2);
  assert.deepEqual(
    problems,
    policy.problems.map((problem) => `c ${problem}`),
  );
});
