/** `breakwater bench mtu-trap`: what a wrong MTU costs on this machine, in namespaces of its own. */
import { mkdirSync } from "node:fs";
import { availableParallelism, loadavg, release } from "node:os";
import { runIsolated } from "../bench/isolated-run.ts";
import { LARGE_BYTES, measureMtuTrap, SMALL_BYTES, type TrapResult } from "../bench/mtu-trap.ts";
import { significant, summarizeTrap } from "../bench/mtu-trap-summary.ts";
import * as libc from "../kernel/libc.ts";
import { refuseWithoutNamespaces } from "../lab/launch.ts";
import {
  type CommandSpec,
  choiceOption,
  formatHelp,
  integerOption,
  type OptionTable,
  parseOptions,
  usageError,
} from "./options.ts";
import { formatTable } from "./table.ts";

const options = {
  seconds: { type: "string", value: "N", default: "1", help: "Length of a TCP stream, seconds" },
  rounds: { type: "string", value: "N", default: "3", help: "How often all cases are measured, in turn" },
  timeout: { type: "string", value: "MS", default: "3000", help: "Silence that is called a hang, milliseconds" },
  output: { type: "string", short: "o", value: "FORMAT", default: "text", help: "text, or json" },
} as const satisfies OptionTable;

export const benchSpec = {
  usage: "breakwater bench mtu-trap [options]",
  summary: "Measures what a wrong MTU of an overlay costs, beside the right one. Touches nothing of this machine.",
  options,
  positionals: [1, 1],
} as const satisfies CommandSpec;

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
  if (name !== "mtu-trap") throw usageError(benchSpec, `There is no benchmark "${name}": mtu-trap is one`);
  const json = choiceOption(benchSpec, "output", values.output, ["text", "json"]) === "json";
  const seconds = integerOption(benchSpec, "seconds", values.seconds, 1, 60);
  const rounds = integerOption(benchSpec, "rounds", values.rounds, 1, 100);
  const timeoutMs = integerOption(benchSpec, "timeout", values.timeout, 500, 60_000);
  const program = process.argv[1] ?? "";
  if (process.env[INSIDE] === undefined) {
    refuseWithoutNamespaces("a benchmark");
    const again = [process.execPath, ...process.execArgv, program, "bench", ...args];
    return runIsolated(again, { ...process.env, [INSIDE]: "1" });
  }
  const onProgress = (line: string) => void process.stderr.write(`mtu-trap: ${line}\n`);
  const results = await measureMtuTrap({ folder: ownFolder(), program, seconds, rounds, timeoutMs, onProgress });
  process.stdout.write(json ? `${JSON.stringify(document(results), null, 2)}\n` : formatResults(results));
  return 0;
}

/** On a tmpfs that only the processes of this run see, and that goes with them. */
function ownFolder(): string {
  libc.checked(libc.mount("tmpfs", "/run", "tmpfs", MS_NODEV_NOSUID, "mode=0755"), "mount tmpfs on", "/run");
  mkdirSync("/run/bench");
  return "/run/bench";
}

function document(results: readonly TrapResult[]): object {
  const machine = { cores: availableParallelism(), kernel: release(), loadAverage: significant(loadavg()[0] ?? 0) };
  return {
    benchmark: "mtu-trap",
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
    "Both ends on one core; medians of the rounds; a message goes there and back. Compare the lines with each other,",
    `not with another machine's: ${availableParallelism()} cores, Linux ${release()}, load ${loadavg()[0]?.toFixed(1)}.`,
    "On a node, 'breakwater mtu' says which case it is.",
    "",
  ].join("\n");
}
