/**
 * What the right MTU of an overlay is worth, beside the classic mistake of 50 bytes: the measurement of `breakwater bench
 * mtu-trap`, as rows. Cases that hang have no figure; that they hang is held here, since the rows would mean nothing else.
 * Behind it what it costs to prove that the MTU is right (mtu-probing.ts).
 */
import { join } from "node:path";
import { measureMtuTrap, type TrapResult, type TrapRound } from "../../../src/bench/mtu-trap.ts";
import type { Bench, Suite } from "../bench.ts";
import { median, medianRatio } from "../statistics.ts";
import { program } from "../tools.ts";
import { measureProbing } from "./mtu-probing.ts";

const ROUNDS = 9;
const QUICK_ROUNDS = 2;
const FRAGMENTING = "overlay 1500, outer DF unset";
/** Fragments cost six to nine times the CPU on the machine where this was planned; half is beyond any noise. */
const CPU_GOAL = 0.5;

export const mtu: Suite = {
  name: "mtu",
  alias: "mtu-trap",
  run: async (bench) => {
    const results = await measureMtuTrap({
      folder: join(bench.folder, "trap"),
      program,
      seconds: 1,
      rounds: bench.options.quick ? QUICK_ROUNDS : ROUNDS,
      timeoutMs: 3000,
      onProgress: (line) => bench.say(line),
    });
    const [right, fragments, ...hanging] = results;
    if (right === undefined || fragments === undefined) throw new ReferenceError("The cases of the trap are missing");
    compare(bench, right, fragments, "TCP stream, CPU of a gigabyte", "s", CPU_GOAL, (r) => r.cpuSecondsPerGigabyte);
    compare(bench, right, fragments, "TCP stream, time of a gigabyte", "s", undefined, (r) => 8 / r.gigabitsPerSecond);
    compare(bench, right, fragments, "4000 bytes there and back", "us", undefined, (r) => r.largeUs);
    compare(bench, right, fragments, "1 byte there and back", "us", undefined, (r) => r.smallUs);
    bench.row("fragments, right MTU", "1/s", median(right.rounds.map(({ perSecond }) => perSecond.IpFragCreates ?? 0)));
    for (const { case: trap, rounds } of hanging) {
      if (rounds.some(({ streamHangs }) => !streamHangs)) bench.problem(`"${trap.name}" does not hang any more`);
    }
    await measureProbing(bench);
  },
};

function compare(
  bench: Bench,
  right: TrapResult,
  fragments: TrapResult,
  name: string,
  unit: string,
  goal: number | undefined,
  pick: (round: TrapRound) => number | null,
): void {
  const [ours, theirs] = [right, fragments].map(({ rounds }) => rounds.map(pick)) as [unknown[], unknown[]];
  if ([...ours, ...theirs].includes(null)) {
    bench.problem(`${name}: a case hangs that must not`);
    return;
  }
  const [mine, other] = [ours as number[], theirs as number[]];
  const details = { reference: median(other), referenceName: FRAGMENTING, ratio: medianRatio(mine, other) };
  bench.row(name, unit, median(mine), goal === undefined ? details : { ...details, goal });
}
