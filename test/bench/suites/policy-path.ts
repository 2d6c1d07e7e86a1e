/**
 * What policies cost a packet: with 10 and with 1,000 that select the pod, beside each other and beside a table that only
 * tracks connections. CPU time of both ends, as suite `path` measures it.
 */
import { availableParallelism } from "node:os";
import type { Bench } from "../bench.ts";
import { type PathMode, runPathProbe } from "../path-probe.ts";
import { median, medianRatio } from "../statistics.ts";
import { BARE, openPolicyStage, type PolicyStage } from "./policy-path-stage.ts";
import { SHAPES, type Shape } from "./policy-shapes.ts";

const FEW = 10;
const MANY = 1000;
const GOAL = 1.05;

interface Operation {
  readonly mode: PathMode;
  readonly name: string;
  readonly seconds: number;
}

const OPERATIONS: readonly Operation[] = [
  { mode: "tcp_rr", name: "TCP request and response, CPU", seconds: 0.04 },
  { mode: "tcp_crr", name: "TCP connect, request, close, CPU", seconds: 0.06 },
  { mode: "udp_oneway", name: "UDP without answers, CPU of a datagram", seconds: 0.04 },
];

export async function measurePolicyPaths(bench: Bench): Promise<void> {
  const stage = await openPolicyStage(bench, SHAPES, [FEW, MANY]);
  for (const operation of OPERATIONS) {
    for (const shape of SHAPES) report(bench, operation, shape, await measure(bench, operation, shape, stage));
  }
}

type Samples = Readonly<Record<"bare" | "few" | "many", number[]>>;
type Kind = keyof Samples;
const KINDS: readonly Kind[] = ["bare", "few", "many"];

/** All three in turn; which one is the first changes with the round. */
async function measure(bench: Bench, { mode, name, seconds }: Operation, shape: Shape, stage: PolicyStage) {
  bench.say(`${name}: ${shape.name}`);
  const rounds = bench.options.quick ? 6 : 60;
  const ways = { bare: BARE, few: stage.way(shape, FEW), many: stage.way(shape, MANY) };
  const samples: Samples = { bare: [], few: [], many: [] };
  for (let round = 0; round <= rounds; round++) {
    for (const i of KINDS.keys()) {
      const kind = KINDS[(round + i) % KINDS.length] ?? "bare";
      stage.choose(ways[kind]);
      const cpu = Math.floor(round / KINDS.length) % availableParallelism();
      const { cpuUs, foreignCores } = await runPathProbe(mode, seconds, stage.pods, cpu);
      // The first round warms up.
      if (round === 0) continue;
      bench.noise(foreignCores);
      samples[kind].push(cpuUs);
    }
  }
  return samples;
}

function report(bench: Bench, { name }: Operation, shape: Shape, samples: Samples): void {
  const row = (count: number, of: Kind, to: Kind, referenceName: string) => {
    const ratio = medianRatio(samples[of], samples[to]);
    const details = { reference: median(samples[to]), referenceName, ratio, goal: GOAL };
    bench.row(`${name}: ${count} policies, ${shape.name}`, "us", median(samples[of]), details);
  };
  row(MANY, "many", "few", `${FEW} policies`);
  row(FEW, "few", "bare", "connection tracking alone");
  row(MANY, "many", "bare", "connection tracking alone");
}
