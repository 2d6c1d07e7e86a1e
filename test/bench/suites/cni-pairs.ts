/**
 * Endurance: thousands of ADD/DEL pairs, ten at once, and then nothing may be left of them: no record, link, route,
 * neighbour, address, interface in a pod or open file of the agent.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Journal } from "../../../src/cni/journal.ts";
import { JOURNAL_FILE } from "../../../src/cni/server.ts";
import { POD_LINK_PREFIX, ROUTE_PROTOCOL } from "../../../src/model/marks.ts";
import type { Bench } from "../bench.ts";
import { type CniStage, linksInPods } from "./cni-stage.ts";

const AT_ONCE = 10;
const SETTLE_MS = 10_000;
const LOOK_AGAIN_MS = 50;

export async function measurePairs(bench: Bench, stage: CniStage): Promise<void> {
  const pairs = bench.options.pairs ?? (bench.options.quick ? 2000 : 10_000);
  bench.say(`${pairs} ADD/DEL pairs, ${AT_ONCE} at once`);
  const filesBefore = openFiles(stage);
  const peerPairs = Math.min(pairs, 200);
  const peer = await stage.run(stage.bridge, { mode: "pairs", count: peerPairs, parallel: AT_ONCE });
  const result = await stage.run(stage.ours, { mode: "pairs", count: pairs, parallel: AT_ONCE });
  bench.row(`ADD and DEL pair, ${AT_ONCE} at once`, "ms", result.wallMs / pairs, {
    reference: peer.wallMs / peerPairs,
    referenceName: stage.bridge.name,
  });
  const calls = { reference: 2 * pairs, referenceName: "calls" };
  bench.row(`failures in ${pairs} pairs`, "calls", result.failures, { ...calls, goal: 0 });
  const leaks = await leftovers(stage, filesBefore);
  const leaked = leaks.reduce((total, { count }) => total + count, 0);
  bench.row(`leaks after ${pairs} pairs`, "objects", leaked, { ...calls, goal: 0 });
  for (const { what, count } of leaks) if (count > 0) bench.problem(`${count} ${what} are left after ${pairs} pairs`);
}

interface Leftover {
  readonly what: string;
  readonly count: number;
}

/** Links are deleted in the background: what is there is counted until it is zero, or patience ends. */
async function leftovers(stage: CniStage, filesBefore: number): Promise<Leftover[]> {
  const until = performance.now() + SETTLE_MS;
  for (;;) {
    const found = await countLeftovers(stage, filesBefore);
    if (found.every(({ count }) => count === 0) || performance.now() > until) return found;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

async function countLeftovers(stage: CniStage, filesBefore: number): Promise<Leftover[]> {
  const { routes } = stage.node;
  const links = routes.links().filter(({ name }) => name.startsWith(POD_LINK_PREFIX));
  const ours = new Set(links.map(({ index }) => index));
  const { records } = await Journal.read(join(stage.agent.journalDir, JOURNAL_FILE));
  return [
    { what: "records in the journal", count: records.size },
    { what: "links of pods on the node", count: links.length },
    {
      what: "routes to pods",
      count: routes.routes({ protocol: ROUTE_PROTOCOL }).filter(({ destination }) => /\/(32|128)$/.test(destination))
        .length,
    },
    { what: "neighbours of pods", count: routes.neighbours().filter(({ index }) => ours.has(index)).length },
    { what: "addresses on links of pods", count: routes.addresses().filter(({ index }) => ours.has(index)).length },
    { what: "interfaces in namespaces of pods", count: linksInPods(stage) },
    { what: "open files of the agent", count: Math.max(0, openFiles(stage) - filesBefore) },
  ];
}

function openFiles({ agent }: CniStage): number {
  return readdirSync(`/proc/${agent.pid}/fd`).length;
}
