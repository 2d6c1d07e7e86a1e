/**
 * `breakwater lab demo`, which `npm run lab` starts: three nodes in two subnets, a frontend and a real Redis; waits until
 * all is ready, then prints what was proved, and what to try next.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { callLab, type LabStatus, type PathRow, type ProbeRequest } from "../lab/control-protocol.ts";
import type { RedisLatency } from "../lab/demo/frontend.ts";
import { DEMO_NAMESPACE, type DemoPrograms, demoManifests, LATENCY_PORT } from "../lab/demo/manifests.ts";
import type { DialResult } from "../lab/dial.ts";
import { labInitPid, launchLab, removeLab } from "../lab/launch.ts";
import { BreakwaterError, isBreakwaterError } from "../model/errors.ts";
import { clusterOptions, labOptions, pathsOf } from "./lab-options.ts";
import { formatStatus } from "./lab-status.ts";
import { programName, progress, seconds, waitUntilReady } from "./lab-up.ts";
import { type CommandSpec, formatHelp, parseOptions } from "./options.ts";
import { tuningOption } from "./profile-file.ts";
import { formatTable } from "./table.ts";

export const labDemoSpec = {
  usage: "breakwater lab demo [options]",
  summary: "Brings up a small cluster with an application, and shows what was proved.",
  options: { ...clusterOptions, subnets: { ...clusterOptions.subnets, default: "2" } },
} as const satisfies CommandSpec;

const READY_MS = 60_000;
/** Dials of one pair; the best one is the network's, the others are this machine's other work. */
const DIALS = 10;

export async function labDemo(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(labDemoSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(labDemoSpec));
    return 0;
  }
  const { values } = parsed;
  // One node fills one subnet; two are the default, not what was asked for.
  const subnets = values.nodes === "1" && !args.some((word) => word.startsWith("--subnets")) ? "1" : values.subnets;
  await tuningOption(labDemoSpec, values.tuning);
  const options = labOptions(labDemoSpec, { ...values, subnets });
  const onStep = progress(performance.now());
  const started = performance.now();
  await replaceOlder(options.name, onStep);
  const paths = await launchLab(options, process.argv[1] ?? "", onStep);
  const nodes = Array.from({ length: options.nodes }, (_, i) => `node${i + 1}`);
  await callLab(paths.control, "apply", { objects: demoManifests(nodes, findPrograms()) });
  onStep("applied the application: frontend, redis and a responder on every node");
  await waitUntilReady(options.name, paths, READY_MS);
  onStep("nodes and pods are ready");
  const { control } = pathsOf(options);
  const status = await callLab(control, "status", {});
  const routes = await callLab(control, "paths", {});
  const pairs = nodes.flatMap((from, i) =>
    nodes.map((to, j) => ({ from: `web${i + 1}`, to: `web${j + 1}`, pair: [from, to] })),
  );
  const matrix = await dialPairs(control, pairs);
  const redis = await askFrontend(control);
  process.stdout.write(report(status, routes, nodes, matrix, redis, seconds(started)));
  const failed = [...matrix.values()].filter(({ allowed }) => !allowed).length;
  if (failed === 0) return 0;
  throw new BreakwaterError("BW_LAB_DEMO", `${failed} of ${matrix.size} pairs of pods cannot reach each other`, {
    remedy: `Read the agents' logs in ${paths.logs}`,
  });
}

/** A demonstration of the same name that still runs makes room; what is left of a dead one is removed by the launch. */
async function replaceOlder(name: string, onStep: (step: string) => void): Promise<void> {
  try {
    labInitPid(name);
  } catch (error) {
    if (isBreakwaterError(error, "BW_LAB_DOWN")) return;
    throw error;
  }
  onStep(`taking down the lab "${name}" that is up already`);
  await removeLab(name);
}

/** Debian's redis-server is a link to redis-check-rdb: the set-up makes one where only that is installed. */
function findPrograms(): DemoPrograms {
  const program = process.argv[1] ?? "";
  const own = fileURLToPath(new URL("redis-server", import.meta.url));
  const redisServer = ["/usr/bin/redis-server", own].find((path) => existsSync(path));
  if (redisServer === undefined) {
    throw new BreakwaterError("BW_LAB_REDIS", "There is no redis-server on this machine", {
      remedy: "apt-get install redis-tools, then 'npm run lab'",
    });
  }
  return { redisServer, node: process.execPath, program };
}

interface Pair {
  readonly from: string;
  readonly to: string;
}

/** The best of several dials for every pair. Pairs are dialled one after the other: the latency is theirs alone. */
async function dialPairs(control: string, pairs: readonly Pair[]): Promise<Map<string, DialResult>> {
  const best = new Map<string, DialResult>();
  for (let round = 0; round < DIALS; round++) {
    for (const { from, to } of pairs) {
      const probe: ProbeRequest = { from: `${DEMO_NAMESPACE}/${from}`, to: `${DEMO_NAMESPACE}/${to}`, port: 80 };
      const [result] = await callLab(control, "probe", { probes: [probe] });
      const before = best.get(`${from} ${to}`);
      if (result !== undefined && (before?.rttMs ?? Number.POSITIVE_INFINITY) > (result.rttMs ?? Number.MAX_VALUE)) {
        best.set(`${from} ${to}`, result);
      } else if (before === undefined && result !== undefined) best.set(`${from} ${to}`, result);
    }
  }
  return best;
}

async function askFrontend(control: string): Promise<RedisLatency> {
  const probe = { from: "node/node1", to: `${DEMO_NAMESPACE}/frontend`, port: LATENCY_PORT, timeoutMs: 10_000 };
  const [result] = await callLab(control, "probe", { probes: [probe] });
  if (result?.answer === null || result === undefined) {
    throw new BreakwaterError("BW_LAB_DEMO", `The frontend does not answer: ${result?.error ?? "silence"}`);
  }
  return JSON.parse(result.answer) as RedisLatency;
}

function report(
  status: LabStatus,
  routes: readonly PathRow[],
  nodes: readonly string[],
  matrix: ReadonlyMap<string, DialResult>,
  redis: RedisLatency,
  total: string,
): string {
  const cell = (from: number, to: number) => {
    const result = matrix.get(`web${from + 1} web${to + 1}`);
    return result?.allowed === true ? (result.rttMs ?? 0).toFixed(3) : `FAILED ${result?.error}`;
  };
  const program = programName();
  const suffix = status.name === "lab" ? "" : ` --name ${status.name}`;
  return [
    `\nNodes and pods\n${formatStatus(status)}`,
    `Paths between nodes, as the kernel has them\n${formatTable(
      ["FROM", "TO", "ROUTE", "DEVICE", "VIA", "PLANNED MTU"],
      routes.map(({ from, to, mode, device, via, mtuBytes }) => [from, to, mode, device, via, String(mtuBytes)]),
    )}`,
    `Latency pod to pod: TCP connect and first answer, best of ${DIALS}, milliseconds\n${formatTable(
      ["FROM \\ TO", ...nodes.map((node, i) => `web${i + 1} (${node})`)],
      nodes.map((node, i) => [`web${i + 1} (${node})`, ...nodes.map((_, j) => cell(i, j))]),
    )}`,
    `Frontend (${nodes[0]}) to Redis (${nodes[1] ?? nodes[0]}): ${redis.pings} PINGs, median ${redis.medianMs} ms, ` +
      `p99 ${redis.p99Ms} ms, min ${redis.minMs} ms\n`,
    `Up, ready and proved in ${total} s. Try next:\n` +
      [
        `export KUBECONFIG=${status.kubeconfig}`,
        "kubectl get pods -A -o wide",
        `${program} lab exec${suffix} ${DEMO_NAMESPACE}/frontend -- ip address show eth0`,
        `${program} lab probe${suffix} --from ${DEMO_NAMESPACE}/web1 --to ${DEMO_NAMESPACE}/redis --port 6379`,
        `${program} lab fault${suffix} add stale-fdb --node node1`,
        `${program} lab down${suffix}`,
      ]
        .map((line) => `  ${line}\n`)
        .join(""),
  ].join("\n");
}
