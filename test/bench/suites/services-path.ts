/**
 * What a connection through a ClusterIP costs beside one to the pod itself, with few Services and with many, and what the
 * rulesets cost connections that are none of theirs. CPU time of both ends, as suite `path` measures it.
 */
import { availableParallelism } from "node:os";
import type { Bench } from "../bench.ts";
import { type Endpoints, type PathMode, runPathProbe } from "../path-probe.ts";
import { median, medianRatio } from "../statistics.ts";
import { FEW, type Kind, openServicesStage, type ServicesStage } from "./services-path-stage.ts";

const MANY = 10_000;
const QUICK_MANY = 1000;
const GOAL = 1.15;

interface Operation {
  readonly mode: PathMode;
  readonly name: string;
  readonly seconds: number;
}
const CONNECT: Operation = { mode: "tcp_crr", name: "TCP connect, request, close, CPU", seconds: 0.06 };
const REQUEST: Operation = { mode: "tcp_rr", name: "TCP request and response, CPU", seconds: 0.04 };

const PEERS: readonly { readonly kind: Exclude<Kind, "ours">; readonly name: string }[] = [
  { kind: "nft", name: "kube-proxy's nftables" },
  { kind: "iptables", name: "kube-proxy's iptables" },
];

export async function measurePaths(bench: Bench): Promise<void> {
  using stack = new DisposableStack();
  const many = bench.options.quick ? QUICK_MANY : MANY;
  const stage = await openServicesStage(bench, many, stack);
  const ways = namedWays(stage);
  for (const operation of [CONNECT, REQUEST]) report(bench, operation, many, await measure(bench, operation, ways));
  await measureToggled(bench, stage);
}

/** `direct`, `untracked`, `ours 10`, `ours 10 direct`, … */
function namedWays({ untracked, direct, ways }: ServicesStage): Map<string, Endpoints> {
  const named = new Map([
    ["untracked", untracked],
    ["direct", direct],
  ]);
  for (const way of ways) {
    named.set(`${way.kind} ${way.count}`, way.throughService);
    named.set(`${way.kind} ${way.count} direct`, way.direct);
  }
  return named;
}

type Samples = ReadonlyMap<string, readonly number[]>;

async function measure(
  bench: Bench,
  { mode, name, seconds }: Operation,
  ways: ReadonlyMap<string, Endpoints>,
): Promise<Samples> {
  const rounds = bench.options.quick ? 10 : 60;
  const samples = new Map(Array.from(ways.keys(), (way): [string, number[]] => [way, []]));
  for (let round = 0; round <= rounds; round++) {
    if (round % 10 === 0) bench.say(`${name}, round ${round} of ${rounds}`);
    for (const [way, ends] of ways) {
      const { cpuUs, foreignCores } = await runPathProbe(mode, seconds, ends, round % availableParallelism());
      // The first round warms up.
      if (round === 0) continue;
      bench.noise(foreignCores);
      samples.get(way)?.push(cpuUs);
    }
  }
  return samples;
}

function report(bench: Bench, { name }: Operation, many: number, samples: Samples): void {
  const cpu = (way: string) => samples.get(way) ?? [];
  const row = (what: string, way: string, to: string, referenceName: string, goal?: number) => {
    const ratio = medianRatio(cpu(way), cpu(to));
    const details = { reference: median(cpu(to)), referenceName, ratio, ...(goal === undefined ? {} : { goal }) };
    bench.row(`${name}: ${what}`, "us", median(cpu(way)), details);
  };
  row("direct", "direct", "untracked", "direct, nothing tracked");
  for (const count of [FEW, many]) {
    const what = `ClusterIP, ${count} Services`;
    row(what, `ours ${count}`, "direct", "direct", GOAL);
    for (const peer of PEERS) {
      const way = `${peer.kind} ${count}`;
      if (!samples.has(way)) continue;
      row(what, `ours ${count}`, way, `${peer.name} (${medianRatio(cpu(way), cpu("direct")).toFixed(2)} of direct)`);
    }
  }
  const what = `direct under ${many} Services`;
  row(what, `ours ${many} direct`, "direct", "direct without Services");
  for (const { kind, name: peer } of PEERS) {
    const way = `${kind} ${many} direct`;
    if (!samples.has(way)) continue;
    const own = medianRatio(cpu(way), cpu("direct")).toFixed(2);
    row(what, `ours ${many} direct`, way, `under ${peer} (${own} of direct)`);
  }
}

/** The same pair with our table and without it: what our chains cost a packet of an established connection. */
async function measureToggled(bench: Bench, { toggled }: ServicesStage): Promise<void> {
  const rounds = bench.options.quick ? 10 : 100;
  const [without, withTable]: [number[], number[]] = [[], []];
  for (let round = 0; round <= rounds; round++) {
    // Which one is measured first changes with the round.
    for (const isThere of round % 2 === 0 ? [false, true] : [true, false]) {
      toggled.setTable(isThere);
      const cpu = Math.floor(round / 2) % availableParallelism();
      const { cpuUs, foreignCores } = await runPathProbe("tcp_rr", REQUEST.seconds, toggled.direct, cpu);
      if (round === 0) continue;
      bench.noise(foreignCores);
      (isThere ? withTable : without).push(cpuUs);
    }
  }
  bench.row(`${REQUEST.name}: direct, our table there`, "us", median(withTable), {
    reference: median(without),
    referenceName: "and gone",
    ratio: medianRatio(withTable, without),
  });
}
