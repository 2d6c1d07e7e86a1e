/** Metrics of Services: kube-proxy's names where it has them, and what they count. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { anEndpoint, aService, aSlice, tcp80 } from "../../plan/services/testing/objects.ts";
import { ProgrammingLatency } from "./programming-latency.ts";
import { collectServices } from "./service-metrics.ts";
import { ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";

/** pkg/proxy/metrics/metrics.go of Kubernetes 1.33: all that its nftables mode registers, with their types. */
const KUBE_PROXY: Readonly<Record<string, "histogram" | "gauge" | "counter">> = {
  kubeproxy_sync_proxy_rules_duration_seconds: "histogram",
  kubeproxy_sync_full_proxy_rules_duration_seconds: "histogram",
  kubeproxy_sync_partial_proxy_rules_duration_seconds: "histogram",
  kubeproxy_network_programming_duration_seconds: "histogram",
  kubeproxy_sync_proxy_rules_last_timestamp_seconds: "gauge",
  kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds: "gauge",
  kubeproxy_sync_proxy_rules_endpoint_changes_pending: "gauge",
  kubeproxy_sync_proxy_rules_endpoint_changes_total: "counter",
  kubeproxy_sync_proxy_rules_service_changes_pending: "gauge",
  kubeproxy_sync_proxy_rules_service_changes_total: "counter",
  kubeproxy_sync_proxy_rules_nftables_sync_failures_total: "counter",
  kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total: "counter",
  kubeproxy_sync_proxy_rules_no_local_endpoints_total: "gauge",
  kubeproxy_conntrack_reconciler_sync_duration_seconds: "histogram",
  kubeproxy_conntrack_reconciler_deleted_entries_total: "counter",
  kubeproxy_proxy_healthz_total: "counter",
  kubeproxy_proxy_livez_total: "counter",
};

/** Not here, with the reason. */
const WITHOUT: Readonly<Record<string, string>> = {
  kubeproxy_sync_proxy_rules_endpoint_changes_pending: "a change waits for two milliseconds",
  kubeproxy_sync_proxy_rules_service_changes_pending: "the same",
  kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total: "no transaction is for cleaning up alone",
  kubeproxy_proxy_healthz_total: "the agent's health server is no kube-proxy's",
  kubeproxy_proxy_livez_total: "the same",
};

interface Described {
  readonly name: string;
  readonly type: string;
}

test("metrics have kube-proxy's names and types where it has them; what is missing has its reason", async () => {
  using rig = new ProxyRig();
  const found = (await rig.registry.getMetricsAsJSON()) as unknown as readonly Described[];
  const ours = found.filter(({ name }) => name.startsWith("kubeproxy_"));
  for (const { name, type } of ours) assert.equal(type, KUBE_PROXY[name], name);
  const names = new Set(ours.map(({ name }) => name));
  const missing = Object.keys(KUBE_PROXY).filter((name) => !names.has(name));
  assert.deepEqual(missing, Object.keys(WITHOUT));
  for (const { name } of found) assert.match(name, /^(kubeproxy|breakwater)_[a-z_]+$/);
});

test("buckets are kube-proxy's, so that its dashboards' quantiles go on", async () => {
  using rig = new ProxyRig();
  const text = await rig.registry.metrics();
  const buckets = (name: string) =>
    [...text.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"\\}`, "gm"))].map(([, le]) => le);
  assert.deepEqual(buckets("kubeproxy_sync_proxy_rules_duration_seconds").slice(0, 3), ["0.001", "0.002", "0.004"]);
  assert.equal(buckets("kubeproxy_sync_proxy_rules_duration_seconds").length, 16);
  const programming = buckets("kubeproxy_network_programming_duration_seconds");
  assert.deepEqual(programming.slice(0, 4), ["0.25", "0.5", "1", "2"]);
  assert.deepEqual(programming.slice(-3), ["270", "300", "+Inf"]);
});

async function value(rig: ProxyRig, line: string): Promise<number> {
  const text = await rig.registry.metrics();
  const found = text.split("\n").find((each) => each.startsWith(`${line} `));
  return Number(found?.slice(line.length + 1) ?? Number.NaN);
}

const state = (count: number, fields = {}): ServiceState => ({
  services: [aService({ type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }], ...fields })],
  slices: [aSlice(Array.from({ length: count }, (_, i) => anEndpoint(`10.244.2.${i + 1}`, { nodeName: "node2" })))],
});

test("a full synchronisation is told from a partial one, and failures are counted", async () => {
  using rig = new ProxyRig();
  rig.start(state(1));
  rig.clock.advance(10);
  rig.set(state(2));
  rig.clock.advance(10);
  rig.host.failures.fail({ operation: "commit", errno: "ENOBUFS", times: 2 });
  rig.set(state(3));
  await rig.settle();
  assert.equal(await value(rig, "kubeproxy_sync_full_proxy_rules_duration_seconds_count"), 1);
  assert.equal(await value(rig, "kubeproxy_sync_partial_proxy_rules_duration_seconds_count"), 2);
  assert.equal(await value(rig, "kubeproxy_sync_proxy_rules_duration_seconds_count"), 3);
  assert.equal(await value(rig, "kubeproxy_sync_proxy_rules_nftables_sync_failures_total"), 2);
  assert.equal(await value(rig, "breakwater_service_event_to_kernel_seconds_count"), 3);
  const seconds = await value(rig, "breakwater_service_event_to_kernel_seconds_sum");
  assert.ok(seconds >= 0.3 && seconds < 0.4, `the retries count: ${seconds}`);
});

test("timestamps are of the wall's clock", async () => {
  using rig = new ProxyRig();
  rig.start(state(1));
  const now = Date.parse("2026-06-01T00:00:00Z") / 1000;
  assert.equal(await value(rig, "kubeproxy_sync_proxy_rules_last_timestamp_seconds"), now);
  assert.equal(await value(rig, "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds"), now);
});

test("collectServices() counts what is served here, and policies Local that find no endpoint here", async () => {
  using rig = new ProxyRig();
  const headless = aService({ name: "headless", clusterIps: [] });
  const { services, slices } = state(3, { internalPolicy: "Local", externalPolicy: "Local" });
  rig.start({ services: [...services, headless], slices });
  collectServices(rig.metrics, rig.proxy.ledger);
  assert.equal(await value(rig, "breakwater_services"), 1);
  assert.equal(await value(rig, "breakwater_service_frontends"), 2);
  assert.equal(await value(rig, "breakwater_service_endpoints"), 3);
  const none = "kubeproxy_sync_proxy_rules_no_local_endpoints_total";
  assert.equal(await value(rig, `${none}{traffic_policy="internal"}`), 1);
  assert.equal(await value(rig, `${none}{traffic_policy="external"}`), 1);
});

test("network programming latency is from the newest trigger to the rules, and counts retries", async () => {
  using rig = new ProxyRig();
  const at = (seconds: number) => new Date(rig.wallMs + seconds * 1000).toISOString();
  const triggered = (count: number, triggeredAt: string): ServiceState => {
    const { services, slices } = state(count);
    return { services, slices: slices.map((slice) => ({ ...slice, triggeredAt })) };
  };
  const name = "kubeproxy_network_programming_duration_seconds";
  rig.start(triggered(1, at(-500)));
  assert.equal(await value(rig, `${name}_count`), 0, "what was there before is no measure of the agent");
  await rig.elapse(1000);
  const trigger = at(-2);
  rig.host.failures.fail({ operation: "commit", errno: "ENOBUFS", times: 4 });
  rig.set(triggered(2, trigger));
  assert.equal(await value(rig, `${name}_count`), 0, "its rules are not in");
  await rig.settle();
  assert.equal(await value(rig, `${name}_count`), 1);
  assert.equal((await value(rig, `${name}_sum`)).toFixed(3), "3.500");
  rig.set(triggered(3, trigger));
  assert.equal(await value(rig, `${name}_count`), 1, "the trigger is the same");
});

test("ProgrammingLatency takes the newest of a Service's slices, and nothing of a trigger that is no time", () => {
  const seen: number[] = [];
  const latency = new ProgrammingLatency({ observe: (seconds: number) => void seen.push(seconds) } as never, () => 100);
  const slice = (triggeredAt: string) => aSlice([], { triggeredAt });
  latency.note("a", [slice(new Date(90_000).toISOString()), slice(new Date(97_000).toISOString())], true);
  latency.note("b", [slice("yesterday"), aSlice([])], true);
  latency.note("c", [slice(new Date(200_000).toISOString())], true);
  latency.settle();
  latency.settle();
  assert.deepEqual(seen, [3, 0]);
});
