/**
 * A rolling update under load: ten endpoints of a Service are replaced one by one while a client opens 2,000 connections
 * a second through the ClusterIP. Nodes, agents and pods are real; an old endpoint closes a second after its replacement
 * was written to the API.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { CniRuntime } from "../../../src/lab/kubelet/cni-exec.ts";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import { BreakwaterError } from "../../../src/model/errors.ts";
import type { Ip } from "../../../src/model/ip.ts";
import type { Bench } from "../bench.ts";
import { BenchCluster } from "../cluster.ts";
import { runTool } from "../cni-driver.ts";
import { tool } from "../tools.ts";
import { attachPod, NODE_IPS, wiredPair } from "./path-stage.ts";
import { watchServiceElements } from "./services-events.ts";
import {
  ENDPOINT_PORT,
  ENDPOINTS,
  endpointAt,
  endpointObject,
  SERVICE_PORT,
  serviceIp,
  serviceObject,
  serviceWithSlice,
  sliceObject,
} from "./services-population.ts";

const CONNECTIONS_A_SECOND = 2000;
const OLD_STAYS_MS = 1000;
const START_MS = 500;
const INDEX = 0;
const NODES = ["node1", "node2"] as const;

interface Endpoint {
  readonly ip: Ip;
  readonly server: ChildProcess;
}

interface LoadResult {
  readonly attempts: number;
  readonly failed: number;
  readonly refused: number;
  readonly reset: number;
  readonly late: number;
  readonly other: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly seconds: number;
}

export async function measureRolling(bench: Bench): Promise<void> {
  bench.say("endpoints are replaced under load");
  await using cluster = await BenchCluster.start(join(bench.folder, "roll"));
  const nodes = wiredPair(await Promise.all(NODES.map((name) => cluster.host(name))));
  for (const [i, name] of NODES.entries()) {
    cluster.addNode({ name, ip: NODE_IPS[i] ?? "", podCidr: `10.244.${i + 1}.0/24` });
  }
  const [client, ...servers] = await startPods(cluster, nodes);
  if (client === undefined) return;
  const endpoints = await Promise.all(servers.map(listen));
  try {
    await serve(cluster, nodes, endpoints);
    await rollUnderLoad(bench, cluster, client.pod, endpoints);
  } finally {
    for (const { server } of endpoints) server.kill("SIGKILL");
  }
}

/** The client on the first node, twice as many servers as there are endpoints on the second. */
async function startPods(cluster: BenchCluster, nodes: readonly LabHost[]) {
  const pods: Awaited<ReturnType<typeof attachPod>>[] = [];
  for (const [i, name] of NODES.entries()) {
    const agent = await cluster.startAgent(name, nodes[i] as LabHost, { routing: "direct" });
    const runtime = new CniRuntime(agent.cniConfDir, [agent.cniBinDir]);
    for (let n = 0; n < (i === 0 ? 1 : 2 * ENDPOINTS); n++) {
      cluster.addPod(`${name}-pod${n}`, name);
      pods.push(await attachPod(cluster, `${name}-pod${n}`, runtime));
    }
  }
  return pods;
}

async function listen({ pod, ip }: Awaited<ReturnType<typeof attachPod>>): Promise<Endpoint> {
  const args = ["serve", ip, String(ENDPOINT_PORT)];
  const server = pod.run(() => spawn(tool("connection-load"), args, { stdio: ["ignore", "pipe", "inherit"] }));
  await once(server.stdout, "data");
  return { ip, server };
}

/** The Service and its first endpoints; resolves when both nodes have them. */
async function serve(cluster: BenchCluster, nodes: readonly LabHost[], endpoints: readonly Endpoint[]): Promise<void> {
  const { service, slice } = serviceWithSlice(INDEX);
  const first = endpoints.slice(0, ENDPOINTS).map(({ ip }) => endpointAt(ip));
  const each = { service, slice: { ...slice, endpoints: first } };
  const waits = nodes.map((node) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const watch = watchServiceElements(node, (ip) => ip === serviceIp(INDEX) && resolve());
    return promise.finally(() => watch[Symbol.dispose]());
  });
  cluster.api.store.create(sliceObject(each));
  cluster.api.store.create(serviceObject(each));
  await Promise.all(waits);
}

async function rollUnderLoad(
  bench: Bench,
  cluster: BenchCluster,
  client: LabHost,
  endpoints: readonly Endpoint[],
): Promise<void> {
  const seconds = bench.options.quick ? 5 : 11;
  const intervalMs = (seconds * 1000 - START_MS - OLD_STAYS_MS) / ENDPOINTS;
  const target = [serviceIp(INDEX), String(SERVICE_PORT)];
  const load = runTool(client, [
    tool("connection-load"),
    "dial",
    ...target,
    String(CONNECTIONS_A_SECOND),
    String(seconds),
  ]);
  const started = performance.now();
  const closings: Promise<unknown>[] = [];
  for (let i = 0; i < ENDPOINTS; i++) {
    await pause(Math.max(0, started + START_MS + i * intervalMs - performance.now()));
    const [old, fresh] = [endpoints[i], endpoints[ENDPOINTS + i]];
    if (old === undefined || fresh === undefined) throw new BreakwaterError("BW_BENCH_AGENT", `No endpoint ${i}`);
    replace(cluster, old.ip, fresh.ip);
    closings.push(pause(OLD_STAYS_MS).then(() => old.server.kill("SIGKILL")));
  }
  await Promise.all(closings);
  report(bench, JSON.parse(await load) as LoadResult);
}

function replace(cluster: BenchCluster, old: Ip, fresh: Ip): void {
  const { slice } = serviceWithSlice(INDEX);
  cluster.api.store.modify("endpointslices", slice.namespace, slice.name, (draft) => {
    const others = (draft["endpoints"] as { addresses: string[] }[]).filter(({ addresses }) => addresses[0] !== old);
    draft["endpoints"] = [...others, endpointObject(endpointAt(fresh), `pod-${fresh}`)];
  });
}

function report(bench: Bench, result: LoadResult): void {
  const { attempts, failed, refused, reset, late, other, seconds } = result;
  bench.row(`connections that fail while ${ENDPOINTS} endpoints are replaced`, "connections", failed, {
    reference: attempts,
    referenceName: "connections",
    goal: 0,
  });
  bench.row("the longest of them", "ms", result.maxMs, { reference: result.p99Ms, referenceName: "99th percentile" });
  if (failed > 0) {
    bench.problem(
      `${failed} of ${attempts} connections failed: ${refused} refused, ${reset} reset, ${late} late, ${other} other`,
    );
  }
  if (attempts / seconds < 0.95 * CONNECTIONS_A_SECOND) {
    bench.problem(
      `only ${(attempts / seconds).toFixed(0)} connections a second were opened, not ${CONNECTIONS_A_SECOND}`,
    );
  }
}
