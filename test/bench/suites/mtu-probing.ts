/** What proving the paths to 500 peers costs, beside the same agent without it, and how long a change takes to be right everywhere. */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { openClientSocket } from "../../../src/kernel/inet-socket.ts";
import { removeTable, replaceTable } from "../../../src/lab/faults/nft-table.ts";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import { BreakwaterError } from "../../../src/model/errors.ts";
import type { MtuReport, PathReport } from "../../../src/model/mtu-report.ts";
import type { NftRule, NftTable } from "../../../src/model/nft.ts";
import { provingIntervalMs, URGENT_PEERS_A_SECOND } from "../../../src/plan/proof/pace.ts";
import type { AgentProcess } from "../agent-process.ts";
import type { Bench } from "../bench.ts";
import { BenchCluster, type NodeSpec } from "../cluster.ts";
import { cpuSeconds, machineBusySeconds, residentMegabytes } from "../process-usage.ts";
import type { RowDetails } from "../row.ts";
import { addUnderlay, largeNodes } from "./large-cluster.ts";
import { buildPeers, simulatedTargets, startSimulatedPeers, WIRE_MTU } from "./mtu-probing-stage.ts";

const PEERS = 500;
const NODE = "node1";
const METRICS_PORT = 9098;
/** Longer than the agent waits until it collects the garbage of its start. */
const SETTLE_MS = 15_000;
/** Every peer's turn comes within three minutes; then a larger size waits for some seconds more. */
const PATIENCE_MS = 240_000;
const POLL_MS = 200;
/** What the narrow network carries, bytes. */
const NARROW_MTU = 1400;
const LIMITS = { packetsPerSecond: 10, cpuPercent: 0.5 };

/** Two agents of the same cluster, each in a network of its own: one proves its paths, one does not. */
export async function measureProbing(bench: Bench): Promise<void> {
  const nodes = largeNodes(PEERS + 1);
  await using cluster = await BenchCluster.start(join(bench.folder, "probing"));
  const probing = await cluster.host("probing");
  const silent = await cluster.host("silent");
  const peers = buildPeers(join(bench.folder, "peers"), probing, nodes.slice(1));
  addUnderlay(silent);
  for (const node of nodes) cluster.addNode(node);
  const simulated = await startSimulatedPeers(peers, nodes.slice(1));
  try {
    const agent = await cluster.startAgent(NODE, probing);
    const settings = cluster.agentSettings(NODE, silent, "silent");
    const without = await cluster.startAgent(NODE, silent, { ...settings, probePort: 0 });
    bench.say(`paths to ${PEERS} peers are proved`);
    await untilAll(probing, (path) => path.verdict === "passes");
    await pause(SETTLE_MS);
    await measureSteady(bench, probing, { agent, without, simulated: simulated.pid ?? 0 });
    await measureChange(bench, probing, peers, nodes.slice(1));
  } finally {
    simulated.kill("SIGKILL");
  }
}

interface Processes {
  readonly agent: AgentProcess;
  /** The agent that does not probe. */
  readonly without: AgentProcess;
  readonly simulated: number;
}

interface Sample {
  readonly atMs: number;
  readonly agentCpu: number;
  readonly withoutCpu: number;
  readonly ourCpu: number;
  readonly machineCpu: number;
  /** Probes and acknowledgements, by the agent's own count. */
  readonly counted: number;
  readonly wire: { readonly packets: number; readonly bytes: number };
}

async function sample(host: LabHost, { agent, without, simulated }: Processes): Promise<Sample> {
  const [agentCpu, withoutCpu] = [cpuSeconds(agent.pid), cpuSeconds(without.pid)];
  const metrics = await askAgent(host, "/metrics");
  const count = (kind: string) =>
    Number(new RegExp(`^breakwater_probe_packets{kind="${kind}"} (\\d+)`, "m").exec(metrics)?.[1]);
  return {
    atMs: performance.now(),
    agentCpu,
    withoutCpu,
    ourCpu: agentCpu + withoutCpu + cpuSeconds(simulated) + cpuSeconds(process.pid),
    machineCpu: machineBusySeconds(),
    counted: count("probesSent") + count("acknowledgementsSent"),
    wire: sentOnWire(host),
  };
}

/** What a node's interface sent: beside probes and acknowledgements ARP, and VXLAN's headers. */
function sentOnWire(host: LabHost): Sample["wire"] {
  const table = host.run(() => readFileSync("/proc/thread-self/net/dev", "utf8"));
  const fields = /^\s*eth0:(.*)$/m.exec(table)?.[1]?.trim().split(/\s+/).map(Number) ?? [];
  return { bytes: fields[8] ?? Number.NaN, packets: fields[9] ?? Number.NaN };
}

async function measureSteady(bench: Bench, host: LabHost, processes: Processes): Promise<void> {
  const seconds = bench.options.quick ? 15 : 80;
  bench.say(`steady for ${seconds} s`);
  // Reading the metrics is work as well: the first reading is not in the figures, the last one is after them.
  await sample(host, processes);
  await pause(1000);
  const before = await sample(host, processes);
  await pause(seconds * 1000);
  const after = await sample(host, processes);
  const elapsed = (after.atMs - before.atMs) / 1000;
  const rate = (pick: (one: Sample) => number) => (pick(after) - pick(before)) / elapsed;
  bench.noise(rate(({ machineCpu, ourCpu }) => machineCpu - ourCpu));
  const counted = rate((one) => one.counted);
  const limit = (reference: number) => ({ reference, referenceName: "limit", goal: 1 });
  bench.row(`probes and acknowledgements sent, ${PEERS} peers`, "1/s", counted, limit(LIMITS.packetsPerSecond));
  bench.row(
    "packets sent, by the interface",
    "1/s",
    rate(({ wire }) => wire.packets),
    {
      reference: counted,
      referenceName: "by the agent; the others are ARP",
    },
  );
  bench.row("bytes sent, by the interface", "kB/s", rate(({ wire }) => wire.bytes) / 1000);
  const [cpu, cpuWithout] = [100 * rate((one) => one.agentCpu), 100 * rate((one) => one.withoutCpu)];
  bench.row(`agent's idle CPU over ${seconds} s`, "% of a core", cpu, limit(LIMITS.cpuPercent));
  bench.row(`agent's idle CPU over ${seconds} s`, "% of a core", cpu, besideSilent(cpuWithout));
  bench.row("of it for probing", "% of a core", cpu - cpuWithout);
  const [memory, memoryWithout] = [residentMegabytes(processes.agent.pid), residentMegabytes(processes.without.pid)];
  bench.row("agent's memory", "MB", memory, besideSilent(memoryWithout));
}

function besideSilent(reference: number) {
  return { reference, referenceName: "the same agent, --probe-port 0" };
}

/** The network becomes narrow for all, both ways, and whole again. */
async function measureChange(bench: Bench, host: LabHost, peers: LabHost, nodes: readonly NodeSpec[]): Promise<void> {
  const table = larger(NARROW_MTU);
  await timeChange(bench, host, `network drops to ${NARROW_MTU}`, {
    cause: () => replaceTable(peers, table),
    carriedBytes: NARROW_MTU,
    pace: { reference: PEERS / URGENT_PEERS_A_SECOND, referenceName: `${URGENT_PEERS_A_SECOND} peers a second` },
  });
  if (bench.options.quick) return;
  await pause(SETTLE_MS);
  const turnMs = provingIntervalMs(nodes.map((node) => simulatedTargets(node).length));
  await timeChange(bench, host, "network is whole again", {
    cause: () => removeTable(peers, table),
    carriedBytes: WIRE_MTU,
    pace: { reference: turnMs / 1000, referenceName: "each peer's turn" },
  });
}

interface Change {
  readonly cause: () => void;
  /** What the network carries now. */
  readonly carriedBytes: number;
  /** What the agent needs by its own pace alone. */
  readonly pace: RowDetails;
}

async function timeChange(bench: Bench, host: LabHost, name: string, change: Change): Promise<void> {
  bench.say(name);
  const started = performance.now();
  change.cause();
  const { firstMs, lastMs } = await untilAll(host, ({ provenBytes, mtuBytes, overheadBytes }) => {
    return provenBytes === change.carriedBytes - overheadBytes && mtuBytes === provenBytes;
  });
  bench.row(`${name}: the first path is right`, "s", (firstMs - started) / 1000);
  bench.row(`${name}: all ${PEERS} are`, "s", (lastMs - started) / 1000, change.pace);
}

/** Swallows larger packets on their way in and out. */
function larger(bytes: number): NftTable {
  const rules: readonly NftRule[] = [
    { statements: [{ match: "meta length", op: ">", value: bytes }, { verdict: "drop" }] },
  ];
  const chain = (hook: "prerouting" | "output") => ({
    name: hook,
    base: { type: "filter", hook, priority: -300, policy: "accept" } as const,
    rules,
  });
  return { family: "ip", name: "narrow", sets: [], chains: [chain("prerouting"), chain("output")] };
}

/** Resolves when the agent says so of all its paths. @returns when it said so of the first one, and of the last */
async function untilAll(host: LabHost, isRight: (path: PathReport) => boolean) {
  let firstMs = Number.NaN;
  for (const until = performance.now() + PATIENCE_MS; ; await pause(POLL_MS)) {
    const { paths } = JSON.parse(await askAgent(host, "/mtu")) as MtuReport;
    const now = performance.now();
    const right = paths.filter(isRight);
    if (right.length > 0 && Number.isNaN(firstMs)) firstMs = now;
    if (right.length === PEERS) return { firstMs, lastMs: now };
    if (now < until) continue;
    const wrong = paths.find((path) => !isRight(path));
    throw new BreakwaterError(
      "BW_BENCH_AGENT",
      `${right.length} of ${PEERS} paths are right after ${PATIENCE_MS / 1000} s; ${wrong?.to}: ${JSON.stringify(wrong)}`,
    );
  }
}

/** GET from the agent's own loopback. */
async function askAgent(host: LabHost, path: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const createConnection = () => new Socket({ fd: host.run(() => openClientSocket("127.0.0.1", METRICS_PORT, "TCP")) });
  const asking = request({ path, createConnection, headers: { connection: "close" } }, (response) => {
    text(response).then(resolve, reject);
  });
  asking.on("error", reject);
  asking.end();
  return promise;
}
