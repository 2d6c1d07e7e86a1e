/**
 * `npm run bench`: runs suites and prints their rows, as a table a suite or as JSON lines. A slow machine is no failure;
 * what does not work is. docs/reference/benchmarks.md says what the rows mean.
 */
import { availableParallelism, release } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BreakwaterError, describeError } from "../../src/model/errors.ts";
import { Bench, type BenchOptions, type Suite } from "./bench.ts";
import { furnish, isolatedDisk, runIsolated } from "./isolation.ts";
import { formatTable, type Row } from "./row.ts";
import { bgp } from "./suites/bgp.ts";
import { cni } from "./suites/cni.ts";
import { ipvs, prepareMachine } from "./suites/ipvs.ts";
import { mtu } from "./suites/mtu.ts";
import { path } from "./suites/path.ts";
import { policy } from "./suites/policy.ts";
import { scale } from "./suites/scale.ts";
import { services } from "./suites/services.ts";
import { benchBuild } from "./tools.ts";

const suites: readonly Suite[] = [cni, path, mtu, services, ipvs, policy, bgp, scale];

interface Command {
  readonly chosen: readonly Suite[];
  readonly options: BenchOptions;
  readonly json: boolean;
}

const USAGE = `Usage: npm run --silent bench -- [SUITE…] [-o text|json] [--quick] [--pairs N]
Suites: ${suites.map(({ name }) => name).join(", ")}; all when none is named.
`;

/** @returns undefined when help was asked for @throws BreakwaterError BW_USAGE */
function parseCommand(args: readonly string[]): Command | undefined {
  const { values, positionals } = parse(args);
  if (values.help) return undefined;
  const { output, pairs, quick } = values;
  if (output !== "text" && output !== "json") throw usage(`-o "${output}" is neither text nor json`);
  if (pairs !== undefined && !/^[1-9]\d{0,6}$/.test(pairs)) throw usage(`--pairs "${pairs}" is no number of pairs`);
  return {
    chosen: positionals.length === 0 ? suites : positionals.map(findSuite),
    options: { quick, pairs: pairs === undefined ? undefined : Number(pairs) },
    json: output === "json",
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        output: { type: "string", short: "o", default: "text" },
        quick: { type: "boolean", default: false },
        pairs: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

function findSuite(name: string): Suite {
  const suite = suites.find((candidate) => candidate.name === name || candidate.alias === name);
  if (suite === undefined) throw usage(`There is no suite "${name}"`);
  return suite;
}

function usage(message: string): BreakwaterError {
  return new BreakwaterError("BW_USAGE", message, { remedy: USAGE.trim().replaceAll("\n", "\n     ") });
}

/** Runs inside the namespaces. */
async function runSuites({ chosen, options, json }: Command, diskFolder: string): Promise<number> {
  const folder = furnish();
  let failed = false;
  for (const suite of chosen) {
    const onRow = (row: Row) => void (json && process.stdout.write(`${JSON.stringify(row)}\n`));
    const bench = new Bench(suite.name, options, { folder: join(folder, suite.name), diskFolder }, onRow);
    const started = performance.now();
    try {
      await suite.run(bench);
    } catch (error) {
      bench.problem(describeError(error));
      if (error instanceof Error && !(error instanceof BreakwaterError)) bench.problem(error.stack ?? "");
    }
    if (!json) process.stdout.write(`\n${suite.name}\n${formatTable(bench.rows)}`);
    const footer = [machine(), bench.noiseReport(), `${((performance.now() - started) / 1000).toFixed(0)} s`];
    (json ? process.stderr : process.stdout).write(`${footer.filter(Boolean).join("; ")}\n`);
    for (const problem of bench.problems) process.stderr.write(`${suite.name}: FAILED: ${problem}\n`);
    failed ||= bench.problems.length > 0;
  }
  return failed ? 1 : 0;
}

function machine(): string {
  return `${availableParallelism()} cores, Linux ${release()}, Node ${process.version}`;
}

async function main(args: readonly string[]): Promise<number> {
  const command = parseCommand(args);
  if (command === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  const inside = isolatedDisk();
  if (inside !== undefined) return runSuites(command, inside);
  // Inside there is no network to bring its kernel.
  if (command.chosen.includes(ipvs)) prepareMachine();
  return runIsolated(fileURLToPath(import.meta.url), args, join(benchBuild, `run-${process.pid}`));
}

try {
  const code = await main(process.argv.slice(2));
  // Servers and agents that a failed suite left end with the namespaces: nobody waits for them.
  process.exit(code);
} catch (error) {
  process.stderr.write(`bench: ${describeError(error)}\n`);
  process.exit(1);
}
