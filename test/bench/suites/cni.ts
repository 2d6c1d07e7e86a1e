/**
 * CNI calls as a container runtime makes them, ours beside Debian's bridge + host-local in interleaved blocks, and the
 * floors under them.
 */

import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { encodeRequest } from "../../../src/cni/frame.ts";
import type { Bench, Suite } from "../bench.ts";
import { type DriverResult, runTool } from "../cni-driver.ts";
import { median, medianRatio, quantile, sum } from "../statistics.ts";
import { tool } from "../tools.ts";
import { measurePairs } from "./cni-pairs.ts";
import { type CniStage, type Contender, openCniStage } from "./cni-stage.ts";

export const cni: Suite = {
  name: "cni",
  run: async (bench) => {
    mkdirSync(bench.folder);
    await using stage = await openCniStage(bench, bench.folder);
    const sequential = await measureBlocks(bench, stage, SEQUENTIAL);
    reportLatency(bench, stage, sequential, "one after the other");
    const parallel = await measureBlocks(bench, stage, TEN_AT_ONCE);
    reportLatency(bench, stage, parallel, "10 at once");
    reportCost(bench, stage, sequential);
    await reportFloors(bench, stage, sequential);
    await measureDisk(bench, sequential.get(stage.ours) ?? []);
    await measureChurn(bench, stage, sequential.get(stage.ours) ?? []);
    await measurePairs(bench, stage);
  },
};

interface Blocks {
  readonly parallel: number;
  readonly count: number;
  readonly rounds: number;
}

const SEQUENTIAL: Blocks = { parallel: 1, count: 100, rounds: 3 };
const TEN_AT_ONCE: Blocks = { parallel: 10, count: 100, rounds: 3 };

type Results = ReadonlyMap<Contender, readonly DriverResult[]>;

/** Blocks of all contenders in turn, so that what disturbs the machine disturbs all; a first block warms up. */
async function measureBlocks(bench: Bench, stage: CniStage, { parallel, count, rounds }: Blocks): Promise<Results> {
  const contenders = [stage.ours, stage.bridge, stage.masquerade, stage.floor];
  const results = new Map<Contender, DriverResult[]>(contenders.map((contender) => [contender, []]));
  const measured = bench.options.quick ? Math.ceil(rounds / 3) : rounds;
  for (let round = 0; round <= measured; round++) {
    bench.say(`${parallel} at once, ${round === 0 ? "warm-up" : `round ${round} of ${measured}`}`);
    for (const contender of contenders) {
      const result = await stage.run(contender, { mode: "block", count, parallel });
      if (round > 0) results.get(contender)?.push(result);
    }
  }
  return results;
}

function samples(results: readonly DriverResult[] | undefined, which: "addMs" | "delMs"): readonly number[] {
  return (results ?? []).flatMap((result) => result[which]);
}

/** Ratios of medians are taken round by round: a burst of other work then spoils one of them, not all. */
function reportLatency(bench: Bench, { ours, bridge, masquerade }: CniStage, results: Results, how: string): void {
  const verbs = { addMs: "ADD", delMs: "DEL" } as const;
  const against = (which: "addMs" | "delMs", peer: Contender, goal?: number) => {
    const rounds = (contender: Contender) => (results.get(contender) ?? []).map((result) => median(result[which]));
    bench.row(`${verbs[which]}, ${how}`, "ms", median(samples(results.get(ours), which)), {
      reference: median(samples(results.get(peer), which)),
      referenceName: peer.name,
      ratio: medianRatio(rounds(ours), rounds(peer)),
      goal,
    });
  };
  against("addMs", bridge, 0.25);
  against("addMs", masquerade);
  bench.row(`ADD, ${how}, 99th percentile`, "ms", quantile(samples(results.get(ours), "addMs"), 0.99), {
    reference: quantile(samples(results.get(bridge), "addMs"), 0.99),
    referenceName: bridge.name,
  });
  against("delMs", bridge, 0.2);
  against("delMs", masquerade);
}

/** CPU time of everything that works for a call: the plugins, what they execute, and our agent. */
function reportCost(bench: Bench, { ours, bridge }: CniStage, results: Results): void {
  const cost = (contender: Contender) => {
    const all = results.get(contender) ?? [];
    return sum(all.map((result) => result.addCpuMs + result.delCpuMs)) / samples(all, "addMs").length;
  };
  bench.row("CPU of an ADD and its DEL, agent included", "ms", cost(ours), {
    reference: cost(bridge),
    referenceName: bridge.name,
  });
}

async function reportFloors(bench: Bench, stage: CniStage, results: Results): Promise<void> {
  const add = median(samples(results.get(stage.ours), "addMs"));
  const exec = median(samples(results.get(stage.floor), "addMs"));
  const floors: number[] = [];
  for (let round = 0; round < (bench.options.quick ? 2 : 5); round++) {
    const output = await runTool(stage.node, [tool("veth-floor"), "20", stage.netnsPrefix]);
    floors.push(...(JSON.parse(output) as { addMs: number[] }).addMs);
  }
  const veth = median(floors);
  bench.row("ADD beside its floor: exec", "ms", add, { reference: exec, referenceName: stage.floor.name });
  bench.row("ADD beside its floor: kernel", "ms", add, { reference: veth, referenceName: "raw veth by rtnetlink" });
  bench.row("ADD beside both floors", "ms", add, { reference: exec + veth, referenceName: "their sum" });
}

/** The journal is synced before an ADD is answered: on tmpfs, where /run is, that costs nothing; on a disk it does. */
async function measureDisk(bench: Bench, onTmpfs: readonly DriverResult[]): Promise<void> {
  const folder = join(bench.folder, "disk");
  mkdirSync(folder);
  bench.say("journal on disk");
  await using stage = await openCniStage(bench, folder, join(bench.diskFolder, "state"));
  const results: DriverResult[] = [];
  for (let round = 0; round <= (bench.options.quick ? 2 : 5); round++) {
    const result = await stage.run(stage.ours, { mode: "block", count: 20 });
    if (round > 0) results.push(result);
  }
  bench.row("ADD with the journal on disk", "ms", median(samples(results, "addMs")), {
    reference: median(samples(onTmpfs, "addMs")),
    referenceName: "journal on tmpfs",
  });
}

/** ADDs while other pods are deleted. */
async function measureChurn(bench: Bench, stage: CniStage, quiet: readonly DriverResult[]): Promise<void> {
  const count = 60;
  const rounds = bench.options.quick ? 1 : 3;
  const [ours, peer]: [number[], number[]] = [[], []];
  const stall = watchLoop(stage.agent.cniSocket);
  for (let round = 0; round < rounds; round++) {
    bench.say(`ADDs while pods are deleted, round ${round + 1} of ${rounds}`);
    ours.push(...(await stage.run(stage.ours, { mode: "churn", count })).addMs);
    stall.pause();
    peer.push(...(await stage.run(stage.bridge, { mode: "churn", count })).addMs);
    stall.resume();
  }
  const answers = await stall.stop();
  const alone = samples(quiet, "addMs");
  bench.row("ADD while pods are deleted", "ms", median(ours), {
    reference: median(alone),
    referenceName: "ours without deletions",
  });
  bench.row("ADD while pods are deleted", "ms", median(ours), {
    reference: median(peer),
    referenceName: stage.bridge.name,
  });
  bench.row("longest ADD while pods are deleted", "ms", Math.max(...ours), {
    reference: Math.max(...peer),
    referenceName: stage.bridge.name,
  });
  bench.row("longest answer to STATUS meanwhile", "ms", Math.max(...answers), {
    reference: median(answers),
    referenceName: "its median",
  });
}

interface LoopWatch {
  pause(): void;
  resume(): void;
  /** @returns how long each answer took, ms */
  stop(): Promise<readonly number[]>;
}

/** Asks the agent for STATUS every few milliseconds: its answer takes as long as its event loop is held up. */
function watchLoop(socketPath: string): LoopWatch {
  const answers: number[] = [];
  let state: "asks" | "pauses" | "stopped" = "asks";
  const EVERY_MS = 2;
  const run = async () => {
    while (state !== "stopped") {
      if (state === "asks") answers.push(await askStatus(socketPath));
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  };
  const done = run();
  return {
    pause: () => {
      state = "pauses";
    },
    resume: () => {
      state = "asks";
    },
    stop: async () => {
      state = "stopped";
      await done;
      return answers;
    },
  };
}

function askStatus(socketPath: string): Promise<number> {
  const started = performance.now();
  const stdin = JSON.stringify({ cniVersion: "1.1.0", name: "breakwater", type: "breakwater" });
  const none = { containerId: "", netns: "", ifname: "", args: "", path: "", startedAtMs: Date.now() };
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath, () => socket.end(encodeRequest({ ...none, command: "STATUS", stdin })));
    socket.on("error", reject);
    socket.on("data", () => undefined);
    socket.on("end", () => resolve(performance.now() - started));
  });
}
