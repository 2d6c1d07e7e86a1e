/** `breakwater bench`: what a wrong MTU, or an overlay, costs on this machine, in namespaces of its own. */
import { mkdirSync } from "node:fs";
import { availableParallelism, loadavg, release } from "node:os";
import { runIsolated } from "../bench/isolated-run.ts";
import { LARGE_BYTES, measureMtuTrap, SMALL_BYTES, type TrapOptions, type TrapResult } from "../bench/mtu-trap.ts";
import { significant, summarizeTrap, type TrapSummary } from "../bench/mtu-trap-summary.ts";
import { measureRouting } from "../bench/routing.ts";
import * as libc from "../kernel/libc.ts";
import { refuseWithoutNamespaces } from "../lab/launch.ts";
import { type CommandSpec, formatHelp, integerOption, type OptionTable, parseOptions, usageError } from "./options.ts";
import { outputOption, printer } from "./output.ts";
import { formatTable } from "./table.ts";

const options = {
  seconds: { type: "string", value: "N", default: "1", help: "Length of a TCP stream, seconds" },
  rounds: { type: "string", value: "N", default: "3", help: "How often all cases are measured, in turn" },
  timeout: { type: "string", value: "MS", default: "3000", help: "Silence that is called a hang, milliseconds" },
  ...outputOption,
} as const satisfies OptionTable;

export const benchSpec = {
  usage: "breakwater bench mtu-trap|routing [options]",
  summary:
    "mtu-trap: what a wrong MTU of an overlay costs, beside the right one. routing: direct routes, as BGP makes them, beside VXLAN. Touches nothing of this machine.",
  options,
  positionals: [1, 1],
} as const satisfies CommandSpec;

interface Benchmark {
  readonly measure: (options: TrapOptions) => Promise<TrapResult[]>;
  readonly format: (results: readonly TrapResult[]) => string;
}

const benchmarks: ReadonlyMap<string, Benchmark> = new Map([
  ["mtu-trap", { measure: measureMtuTrap, format: formatResults }],
  ["routing", { measure: measureRouting, format: formatRouting }],
]);

/** Set inside the namespaces. */
const INSIDE = "BREAKWATER_BENCH_INSIDE";
const MS_NODEV_NOSUID = 0x6;

export async function bench(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(benchSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(benchSpec));
    return 0;
  }
  const { values, positionals } = parsed;
  const [name = ""] = positionals;
  const benchmark = benchmarks.get(name);
  if (benchmark === undefined) {
    throw usageError(benchSpec, `There is no benchmark "${name}": ${[...benchmarks.keys()].join(" and ")} are there`);
  }
  const print = printer(benchSpec, values.output);
  const seconds = integerOption(benchSpec, "seconds", values.seconds, 1, 60);
  const rounds = integerOption(benchSpec, "rounds", values.rounds, 1, 100);
  const timeoutMs = integerOption(benchSpec, "timeout", values.timeout, 500, 60_000);
  const program = process.argv[1] ?? "";
  if (process.env[INSIDE] === undefined) {
    refuseWithoutNamespaces("a benchmark");
    const again = [process.execPath, ...process.execArgv, program, "bench", ...args];
    return runIsolated(again, { ...process.env, [INSIDE]: "1" });
  }
  const onProgress = (line: string) => void process.stderr.write(`${name}: ${line}\n`);
  const results = await benchmark.measure({ folder: ownFolder(), program, seconds, rounds, timeoutMs, onProgress });
  print(document(name, results), () => benchmark.format(results));
  return 0;
}

/** On a tmpfs that only the processes of this run see, and that goes with them. */
function ownFolder(): string {
  libc.checked(libc.mount("tmpfs", "/run", "tmpfs", MS_NODEV_NOSUID, "mode=0755"), "mount tmpfs on", "/run");
  mkdirSync("/run/bench");
  return "/run/bench";
}

function document(benchmark: string, results: readonly TrapResult[]): object {
  const machine = { cores: availableParallelism(), kernel: release(), loadAverage: significant(loadavg()[0] ?? 0) };
  return {
    benchmark,
    machine,
    smallMessageBytes: SMALL_BYTES,
    largeMessageBytes: LARGE_BYTES,
    cases: results.map(summarizeTrap),
  };
}

const HEADS = ["CASE", "TCP STREAM", "CPU OF 1 GB", "1 BYTE", `${LARGE_BYTES} BYTES`, "FRAGMENTS/S", "REASSEMBLED/S"];

export function formatResults(results: readonly TrapResult[]): string {
  const summaries = results.map(summarizeTrap);
  const us = (value: number | null) => (value === null ? "hangs" : `${value} us`);
  const rows = summaries.map((row) => [
    row.case,
    row.streamHangs ? "hangs" : `${row.gigabitsPerSecond} Gbit/s`,
    row.cpuSecondsPerGigabyte === null ? "-" : `${row.cpuSecondsPerGigabyte} s`,
    us(row.smallMessageUs),
    us(row.largeMessageUs),
    String(Math.round(row.fragmentsPerSecond)),
    String(Math.round(row.reassembliesPerSecond)),
  ]);
  return [
    formatTable(HEADS, rows),
    ...summaries.map((row) => `${row.case}: ${row.explanation}`),
    "",
    ...footer(),
    "On a node, 'breakwater mtu' says which case it is.",
    "",
  ].join("\n");
}

function footer(): string[] {
  return [
    "Both ends on one core; medians of the rounds; a message goes there and back. Compare the lines with each other,",
    `not with another machine's: ${availableParallelism()} cores, Linux ${release()}, load ${loadavg()[0]?.toFixed(1)}.`,
  ];
}

const ROUTING_HEADS = [
  "WAY",
  "TCP STREAM",
  "CPU OF 1 GB",
  "1 BYTE",
  `${LARGE_BYTES} BYTES`,
  "ON THE WIRE",
  "OF A STREAM",
];

/** Behind each pair what the tunnel costs: its line over the direct one. */
export function formatRouting(results: readonly TrapResult[]): string {
  const summaries = results.map(summarizeTrap);
  const figure = (value: number | null, unit: string) => (value === null ? "hangs" : `${value} ${unit}`);
  const rows = summaries.map((row, i) => {
    const { wireMtuBytes, overlayMtuBytes } = results[i]?.case ?? { wireMtuBytes: 0, overlayMtuBytes: 0 };
    const added = wireMtuBytes - overlayMtuBytes;
    return [
      row.case,
      row.streamHangs ? "hangs" : `${row.gigabitsPerSecond} Gbit/s`,
      figure(row.cpuSecondsPerGigabyte, "s"),
      figure(row.smallMessageUs, "us"),
      figure(row.largeMessageUs, "us"),
      `+${added} bytes a packet`,
      `+${((100 * added) / overlayMtuBytes).toFixed(1)} %`,
    ];
  });
  return [
    formatTable(ROUTING_HEADS, rows),
    ...summaries.map((row) => `${row.case}: ${row.explanation}`),
    "",
    ...comparisons(summaries),
    ...footer(),
    "",
  ].join("\n");
}

function comparisons(summaries: readonly TrapSummary[]): string[] {
  return summaries.flatMap((direct, i) => {
    const tunnel = summaries[i + 1];
    if (i % 2 === 1 || tunnel === undefined) return [];
    const ratio = (pick: (row: TrapSummary) => number | null) => {
      const [ours, theirs] = [pick(direct), pick(tunnel)];
      return ours === null || theirs === null || ours === 0 ? "?" : (theirs / ours).toFixed(2);
    };
    return [
      `${tunnel.case} beside ${direct.case}: ${ratio((row) => row.gigabitsPerSecond)} of the throughput, ${ratio((row) => row.cpuSecondsPerGigabyte)} times the CPU of a gigabyte, ${ratio((row) => row.smallMessageUs)} times the time of a byte there and back.`,
    ];
  });
}
