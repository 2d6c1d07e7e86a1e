/**
 * What a packet's way costs: CPU time of both ends, client and server on one core, for pods that reach each other
 * directly and through VXLAN, beside the nodes themselves and beside what Flannel makes. Every round measures all of them
 * one after the other; a ratio is the median of the rounds' ratios.
 */

import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Bench, Suite } from "../bench.ts";
import { type PathMode, type PathSample, runPathProbe } from "../path-probe.ts";
import { median, medianRatio } from "../statistics.ts";
import { openPathStage, type PathStage } from "./path-stage.ts";

const DIRECT_GOAL = 1.3;
const VXLAN_GOAL = 1.65;
const ROUNDS = 100;
const QUICK_ROUNDS = 10;

interface Operation {
  readonly mode: PathMode;
  readonly name: string;
  /** Unit of the CPU time. */
  readonly unit: string;
  readonly seconds: number;
}

const OPERATIONS: readonly Operation[] = [
  { mode: "tcp_rr", name: "TCP request and response, CPU", unit: "us", seconds: 0.04 },
  { mode: "tcp_crr", name: "TCP connect, request, close, CPU", unit: "us", seconds: 0.05 },
  // Microseconds a megabyte are milliseconds a gigabyte.
  { mode: "tcp_stream", name: "TCP stream, CPU of a gigabyte", unit: "ms", seconds: 0.05 },
  { mode: "udp_rr", name: "UDP request and response, CPU", unit: "us", seconds: 0.03 },
];

type Way = "bare" | "node" | "direct" | "vxlan" | "flannel";
const WAYS: readonly Way[] = ["bare", "node", "direct", "vxlan", "flannel"];

type Samples = ReadonlyMap<Way, readonly PathSample[]>;

export const path: Suite = {
  name: "path",
  run: async (bench) => {
    mkdirSync(bench.folder);
    await using stage = await openPathStage(bench);
    const results = await measure(bench, stage, bench.options.quick ? QUICK_ROUNDS : ROUNDS);
    for (const operation of OPERATIONS) report(bench, operation, results.get(operation) ?? new Map());
  },
};

async function measure(bench: Bench, stage: PathStage, rounds: number): Promise<Map<Operation, Samples>> {
  const empty = () => new Map(WAYS.map((way): [Way, PathSample[]] => [way, []]));
  const results = new Map(OPERATIONS.map((operation) => [operation, empty()]));
  for (let round = 0; round <= rounds; round++) {
    if (round % 10 === 0) bench.say(round === 0 ? "warm-up" : `round ${round} of ${rounds}`);
    for (const operation of OPERATIONS) {
      for (const way of WAYS) {
        const sample = await runPathProbe(
          operation.mode,
          operation.seconds,
          stage[way],
          round % availableParallelism(),
        );
        if (round === 0) continue;
        bench.noise(sample.foreignCores);
        results.get(operation)?.get(way)?.push(sample);
      }
    }
  }
  return results;
}

function report(bench: Bench, { mode, name, unit }: Operation, samples: Samples): void {
  const cpu = (way: Way) => (samples.get(way) ?? []).map(({ cpuUs }) => cpuUs);
  const ratio = (way: Way, to: Way) => medianRatio(cpu(way), cpu(to));
  const row = (way: "direct" | "vxlan", to: Way, referenceName: string, goal?: number) => {
    const details = { reference: median(cpu(to)), referenceName, ratio: ratio(way, to), goal };
    bench.row(`${name}: ${way}`, unit, median(cpu(way)), details);
  };
  row("direct", "node", "node to node", DIRECT_GOAL);
  row("direct", "bare", "bare node to node");
  row("vxlan", "node", "node to node", VXLAN_GOAL);
  row("vxlan", "bare", "bare node to node");
  row("vxlan", "flannel", `Flannel's shape (${ratio("flannel", "node").toFixed(2)} of node to node)`);
  if (mode === "tcp_crr") latency(bench, "TCP connect latency", "us", samples, ({ connectP50Us = 0 }) => connectP50Us);
  if (mode === "tcp_rr") latency(bench, "TCP request-response latency", "us", samples, ({ p50Us = 0 }) => p50Us);
  // Time for a gigabyte instead of throughput: less is better in every row.
  if (mode === "tcp_stream") {
    latency(bench, "TCP stream, time of a gigabyte on one core", "ms", samples, ({ gbps = 0 }) => 8000 / gbps);
  }
}

function latency(bench: Bench, name: string, unit: string, samples: Samples, of: (sample: PathSample) => number): void {
  const values = (way: Way) => (samples.get(way) ?? []).map(of);
  for (const way of ["direct", "vxlan"] as const) {
    bench.row(`${name}: ${way}`, unit, median(values(way)), {
      reference: median(values("node")),
      referenceName: "node to node",
      ratio: medianRatio(values(way), values("node")),
    });
  }
}
