/** One agent in a cluster of 500 nodes with 110 pods of its own: memory, idle CPU, start. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { cleanUpKernel } from "../../../src/agent/cleanup.ts";
import { openIpvs } from "../../../src/kernel/genetlink/ipvs.ts";
import { openKernel } from "../../../src/kernel/kernel.ts";
import { createNamespace } from "../../../src/kernel/netns.ts";
import { watchRoutes } from "../../../src/kernel/rtnetlink/route-events.ts";
import { CniRuntime } from "../../../src/lab/kubelet/cni-exec.ts";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import { BreakwaterError } from "../../../src/model/errors.ts";
import { ROUTE_PROTOCOL } from "../../../src/model/marks.ts";
import { type AgentProcess, spawnAgent } from "../agent-process.ts";
import type { Bench } from "../bench.ts";
import { BenchCluster } from "../cluster.ts";
import { cpuSeconds, machineBusySeconds, residentMegabytes } from "../process-usage.ts";
import { median } from "../statistics.ts";
import { largeNodes } from "./large-cluster.ts";
import { buildPeers, startSimulatedPeers } from "./mtu-probing-stage.ts";

const NODES = 500;
/** Pods of a node: what a kubelet allows by default. */
const PODS = 110;
const NODE = "node1";
const PARALLEL_ADDS = 10;
/**
 * Idle is what a node is for months: behind its pods, the first look at all peers, their looks back, and the collection of
 * the garbage of all that, which waits for ten quiet seconds.
 */
const SETTLE_MS = 60_000;

export async function measureAgent(bench: Bench): Promise<void> {
  bench.say(`agent with ${NODES} nodes and ${PODS} pods`);
  await using cluster = await BenchCluster.start(join(bench.folder, "agent"));
  const host = await cluster.host(NODE);
  const nodes = largeNodes(NODES);
  const peers = buildPeers(join(bench.folder, "agent-peers"), host, nodes.slice(1));
  for (const node of nodes) cluster.addNode(node);
  await measureStart(bench, cluster, host);
  // An agent is not idle while it looks for 499 others that do not answer.
  const simulated = await startSimulatedPeers(peers, nodes.slice(1));
  const agent = await cluster.startAgent(NODE, host);
  await attachPods(cluster, agent);
  await pause(SETTLE_MS);
  await measureIdle(bench, agent, simulated.pid ?? 0);
  simulated.kill("SIGKILL");
  bench.row(`agent's memory, ${NODES} nodes and ${PODS} pods`, "MB", residentMegabytes(agent.pid), {
    reference: 100,
    referenceName: "limit",
    goal: 1,
  });
}

async function attachPods(cluster: BenchCluster, agent: AgentProcess): Promise<void> {
  const runtime = new CniRuntime(agent.cniConfDir, [agent.cniBinDir]);
  const waiting = Array.from({ length: PODS }, (_, i) => `pod${i + 1}`);
  const attachNext = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const netns = join(cluster.netns, name);
      createNamespace(netns);
      cluster.addPod(name, NODE);
      const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${name}`;
      await runtime.add({ containerId: `bench-${name}`, netns, ifname: "eth0", args, capabilities: {} });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_ADDS }, attachNext));
}

async function measureIdle(bench: Bench, { pid }: AgentProcess, simulated: number): Promise<void> {
  // A minute: everything is listed anew once in it.
  const seconds = bench.options.quick ? 5 : 60;
  bench.say(`idle for ${seconds} s`);
  const others = () => machineBusySeconds() - cpuSeconds(pid) - cpuSeconds(simulated) - cpuSeconds(process.pid);
  const [before, busy, started] = [cpuSeconds(pid), others(), performance.now()];
  await pause(seconds * 1000);
  const elapsed = (performance.now() - started) / 1000;
  const spent = cpuSeconds(pid) - before;
  bench.noise((others() - busy) / elapsed);
  bench.row(`agent's idle CPU over ${seconds} s`, "% of a core", (100 * spent) / elapsed, {
    reference: 0.5,
    referenceName: "limit",
    goal: 1,
  });
}

/** From the start of the process to the first route of ours in the kernel, beside `node -e 0`, in turn. */
async function measureStart(bench: Bench, cluster: BenchCluster, host: LabHost): Promise<void> {
  const rounds = bench.options.quick ? 10 : 100;
  const [starts, nodes]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    if (round % 25 === 0) bench.say(`start to first route, round ${round + 1} of ${rounds}`);
    starts.push(await timeFirstRoute(cluster, host, round));
    const started = performance.now();
    execFileSync(process.execPath, ["-e", "0"]);
    nodes.push((performance.now() - started) / 1000);
  }
  bench.row("agent's start to its first route", "s", median(starts), {
    reference: 0.5,
    referenceName: "limit",
    goal: 1,
  });
  bench.row("agent's start to its first route", "s", median(starts), {
    reference: median(nodes),
    referenceName: "bare node -e 0",
  });
}

const START_PATIENCE_MS = 20_000;

async function timeFirstRoute(cluster: BenchCluster, host: LabHost, round: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const started = performance.now();
  using _watch = host.run(() =>
    watchRoutes((events) => {
      const ours = (event: (typeof events)[number]) =>
        event.type === "route" && event.route.protocol === ROUTE_PROTOCOL;
      if (events.some(ours)) resolve((performance.now() - started) / 1000);
    }),
  );
  const late = new BreakwaterError("BW_BENCH_AGENT", `The agent made no route within ${START_PATIENCE_MS / 1000} s`);
  const timer = setTimeout(() => reject(late), START_PATIENCE_MS);
  const child = spawnAgent(cluster.agentSettings(NODE, host, `start${round}`));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
    await once(child, "exit");
    host.run(() => {
      using kernel = openKernel();
      cleanUpKernel(kernel, false, openIpvs);
    });
  }
}
