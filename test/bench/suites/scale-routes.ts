/**
 * Routes of a thousand nodes: planning them, bringing them into a real kernel, and one node more. The kernel's own share
 * is what `ip -batch` and `bridge -batch` take for the same entries.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { applyOperations } from "../../../src/agent/apply.ts";
import { cleanUpKernel } from "../../../src/agent/cleanup.ts";
import { Mirror } from "../../../src/agent/mirror.ts";
import { createPodLinks } from "../../../src/agent/pod-links.ts";
import { diffNode } from "../../../src/diff/diff.ts";
import { openIpvs } from "../../../src/kernel/genetlink/ipvs.ts";
import { type Kernel, openKernel } from "../../../src/kernel/kernel.ts";
import { watchRoutes } from "../../../src/kernel/rtnetlink/route-events.ts";
import { createHost, type LabHost } from "../../../src/lab/underlay/host.ts";
import type { ClusterNode } from "../../../src/model/cluster.ts";
import { BreakwaterError } from "../../../src/model/errors.ts";
import { DEFAULT_VNI, DEFAULT_VXLAN_PORT, ROUTE_PROTOCOL, VXLAN_DEVICE } from "../../../src/model/marks.ts";
import type { NodeConfig } from "../../../src/model/node-config.ts";
import type { Operation } from "../../../src/model/operation.ts";
import type { DesiredState } from "../../../src/model/state.ts";
import { PlanMemo, planNode } from "../../../src/plan/plan.ts";
import type { Bench } from "../bench.ts";
import { BenchCluster, type NodeSpec } from "../cluster.ts";
import { median } from "../statistics.ts";
import { addUnderlay, largeNode, largeNodes } from "./large-cluster.ts";

const NODES = 1000;
const FEW_NODES = 10;
const NODE = "node1";

const CONFIG: NodeConfig = {
  nodeName: NODE,
  routing: "auto",
  vni: DEFAULT_VNI,
  vxlanPort: DEFAULT_VXLAN_PORT,
  masquerade: true,
  masqueradeExceptions: [],
};

export async function measureRoutes(bench: Bench): Promise<void> {
  bench.say(`routes of ${NODES} nodes`);
  const host = createHost(join(bench.folder, "routes"), NODE);
  addUnderlay(host);
  host.run(() => measureRounds(bench, host));
  await measureAddedNode(bench);
}

/** What the agent's loop does, step by step, so that each can be timed. */
class Loop {
  readonly #kernel: Kernel;
  readonly mirror: Mirror;
  readonly #memo = new PlanMemo();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.mirror = new Mirror(kernel);
    this.mirror.list();
  }

  /** @param memo what earlier plans left; a new one for a plan from nothing */
  plan(nodes: ReadonlyMap<string, ClusterNode>, memo = this.#memo): DesiredState {
    const facts = { nodeName: NODE, interfaces: this.mirror.interfaces() };
    const result = planNode({ config: CONFIG, facts, nodes, pods: [] }, memo);
    if ("state" in result) return result.state;
    throw new BreakwaterError(result.notReady.code, result.notReady.message);
  }

  diff(state: DesiredState): Operation[] {
    return diffNode(state, this.mirror.observed(state));
  }

  apply(operations: readonly Operation[]): void {
    const results = applyOperations(operations, this.#kernel, this.mirror, createPodLinks(this.#kernel, this.mirror));
    const failed = results.find(({ error }) => error !== undefined);
    if (failed?.error !== undefined) throw failed.error;
  }

  /** One whole round. @returns how many operations it took */
  round(nodes: ReadonlyMap<string, ClusterNode>): number {
    const operations = this.diff(this.plan(nodes));
    this.apply(operations);
    return operations.length;
  }
}

function clusterNodes(count: number): Map<string, ClusterNode> {
  return new Map(largeNodes(count).map((spec) => [spec.name, clusterNode(spec)]));
}

function clusterNode({ name, ip, podCidr }: NodeSpec): ClusterNode {
  return { name, internalIps: [ip], podCidrs: [podCidr], labels: {} };
}

function measureRounds(bench: Bench, host: LabHost): void {
  const rounds = bench.options.quick ? 5 : 20;
  const nodes = clusterNodes(NODES);
  const [whole, batch, plans]: [number[], number[], number[]] = [[], [], []];
  for (let i = 0; i < rounds; i++) {
    using kernel = openKernel();
    const loop = new Loop(kernel);
    whole.push(time(() => loop.round(nodes)));
    for (let j = 0; j < 5; j++) plans.push(time(() => loop.plan(nodes, new PlanMemo())));
    const commands = batchOf(loop.plan(nodes));
    if (loop.diff(loop.plan(nodes)).length > 0) bench.problem("a second round changes what the first has made");
    removeEntries(host, loop);
    batch.push(time(() => runBatch(commands)));
    cleanUpKernel(kernel, false, openIpvs);
  }
  bench.row(`plan of ${NODES} nodes`, "ms", median(plans), { reference: median(whole), referenceName: "whole round" });
  bench.row(`plan, compare and apply ${NODES} nodes`, "ms", median(whole), {
    reference: median(batch),
    referenceName: "ip -batch, entries alone",
  });
  const many = addOne(bench, NODES);
  const few = addOne(bench, FEW_NODES);
  bench.row(`one node more than ${NODES}`, "operations", many.operations, {
    reference: few.operations,
    referenceName: `one more than ${FEW_NODES}`,
    goal: 1,
  });
  bench.row(`one node more than ${NODES}, whole round`, "ms", median(many.ms), {
    reference: median(few.ms),
    referenceName: `one more than ${FEW_NODES}`,
  });
}

function time(body: () => void): number {
  const started = performance.now();
  body();
  return performance.now() - started;
}

/** One node joins and leaves, again and again. */
function addOne(bench: Bench, count: number): { operations: number; ms: number[] } {
  using kernel = openKernel();
  const loop = new Loop(kernel);
  const nodes = clusterNodes(count);
  loop.round(nodes);
  const ms: number[] = [];
  let operations = 0;
  // Behind the router: the dearer kind.
  const joining = [2, 4, 6, 8].map((more) => largeNode(NODES + more));
  for (let i = 0; i < (bench.options.quick ? 20 : 100); i++) {
    const spec = joining[i % joining.length] ?? largeNode(NODES + 2);
    nodes.set(spec.name, clusterNode(spec));
    ms.push(
      time(() => {
        operations = loop.round(nodes);
      }),
    );
    nodes.delete(spec.name);
    loop.round(nodes);
  }
  cleanUpKernel(kernel, false, openIpvs);
  return { operations, ms };
}

function batchOf({ routes, neighbours, fdb }: DesiredState): { ip: string; bridge: string } {
  const via = (gateway: string | undefined, onlink: boolean) => `via ${gateway}${onlink ? " onlink" : ""}`;
  const ip = [
    ...neighbours.map((n) => `neigh replace ${n.ip} lladdr ${n.mac} dev ${n.device} nud permanent`),
    ...routes.map(
      (r) => `route replace ${r.destination} ${via(r.gateway, r.onlink)} dev ${r.device} proto ${ROUTE_PROTOCOL}`,
    ),
  ];
  return {
    ip: ip.join("\n"),
    bridge: fdb.map((f) => `fdb append ${f.mac} dev ${f.device} dst ${f.destination}`).join("\n"),
  };
}

/** Runs in the namespace of the calling thread. */
function runBatch({ ip, bridge }: { ip: string; bridge: string }): void {
  for (const [command, input] of [
    ["ip", ip],
    ["bridge", bridge],
  ] as const) {
    const { status, stderr } = spawnSync(command, ["-batch", "-"], { input, encoding: "utf8" });
    if (status !== 0) throw new BreakwaterError("BW_BENCH_TOOL", `${command} -batch: ${stderr.trim()}`);
  }
}

/** Routes, neighbours and forwarding entries go; the VXLAN device stays. */
function removeEntries({ routes }: LabHost, { mirror }: Loop): void {
  const index = mirror.link(VXLAN_DEVICE)?.index;
  const errors = routes.applyMany([
    ...routes.routes({ protocol: ROUTE_PROTOCOL }).map((route) => ({ do: "deleteRoute", route }) as const),
    ...routes
      .neighbours()
      .flatMap((n) => (n.index === index ? [{ do: "deleteNeighbour", neighbour: n } as const] : [])),
    ...routes.fdb().flatMap((entry) => (entry.index === index ? [{ do: "deleteFdb", entry } as const] : [])),
  ]);
  const error = errors.find((one) => one !== undefined);
  if (error !== undefined) throw error;
}

/** The real agent: from the new Node object in the API to its route in the kernel. */
async function measureAddedNode(bench: Bench): Promise<void> {
  const [few, many] = [await joinTimes(bench, FEW_NODES), await joinTimes(bench, NODES)];
  bench.row(`node joins ${NODES}: until its route is there`, "ms", median(many), {
    reference: median(few),
    referenceName: `joins ${FEW_NODES}`,
  });
}

async function joinTimes(bench: Bench, count: number): Promise<number[]> {
  bench.say(`nodes join a cluster of ${count}`);
  await using cluster = await BenchCluster.start(join(bench.folder, `join${count}`));
  const host = await cluster.host(NODE);
  addUnderlay(host);
  for (const node of largeNodes(count)) cluster.addNode(node);
  await cluster.startAgent(NODE, host);
  const times: number[] = [];
  for (let i = 0; i < (bench.options.quick ? 5 : 30); i++) {
    const spec = largeNode(NODES + 2 + i);
    times.push(await routeAppears(host, spec.podCidr, () => cluster.addNode(spec)));
    // The round that this joined is over.
    await pause(50);
  }
  return times;
}

const JOIN_PATIENCE_MS = 10_000;

async function routeAppears(host: LabHost, destination: string, cause: () => void): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  using _watch = host.run(() =>
    watchRoutes((events) => {
      if (events.some((event) => event.type === "route" && event.route.destination === destination)) {
        resolve(performance.now() - started);
      }
    }),
  );
  const late = new BreakwaterError("BW_BENCH_AGENT", `No route to ${destination} within ${JOIN_PATIENCE_MS / 1000} s`);
  const timer = setTimeout(() => reject(late), JOIN_PATIENCE_MS);
  const started = performance.now();
  cause();
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
