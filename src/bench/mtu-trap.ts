/**
 * What a wrong MTU of an overlay costs, side by side with the right one. `breakwater bench mtu-trap` prints it; the suite
 * `mtu` of the project's own benchmarks measures with the same code.
 *
 * Client and server run on one core, in turn for all cases, so that the CPU time of both is all that a gigabyte costs:
 * tunnel, fragments and reassembly are work of the kernel in the name of who sends and who receives.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { counterRates, type IpCounterName, type IpCounters, readIpCounters } from "../kernel/ip-counters.ts";
import { BreakwaterError } from "../model/errors.ts";
import { buildTrapStage, type TrapShape, type TrapStage } from "./mtu-trap-stage.ts";
import type { PeerEvent, PeerFigures, PeerTask } from "./tcp-peer.ts";

export interface TrapCase extends TrapShape {
  readonly name: string;
  /** One sentence: what is configured, what follows, how one sees it. */
  readonly explanation: string;
}

export const trapCases: readonly TrapCase[] = [
  {
    name: "right",
    wireMtuBytes: 1500,
    overlayMtuBytes: 1450,
    dontFragment: false,
    silentLimitBytes: undefined,
    explanation: "Overlay and pods 1450: the 50 bytes of VXLAN fit into the wire's 1500. One packet is one packet.",
  },
  {
    name: "overlay 1500, DF unset",
    wireMtuBytes: 1500,
    overlayMtuBytes: 1500,
    dontFragment: false,
    silentLimitBytes: undefined,
    explanation:
      "Every full packet leaves as two fragments and is put together at the other node: it works, slowly, and nothing says so but IpFragCreates and IpReasmReqds.",
  },
  {
    name: "overlay 1500, DF set",
    wireMtuBytes: 1500,
    overlayMtuBytes: 1500,
    dontFragment: true,
    silentLimitBytes: undefined,
    explanation:
      "Connections open and small messages pass; the tunnel drops every full packet and no ICMP reaches the pod: the first large answer hangs.",
  },
  {
    name: "silent hop",
    wireMtuBytes: 1550,
    overlayMtuBytes: 1500,
    dontFragment: false,
    silentLimitBytes: 1500,
    explanation:
      "The nodes believe that the wire carries 1550, a switch between them carries 1500 and drops the rest: the same hang, and no counter of a node moves.",
  },
];

export interface TrapOptions {
  /** A new folder, where namespaces are bound. */
  readonly folder: string;
  /** The program whose `bench-peer` is a client or a server. */
  readonly program: string;
  /** Of the stream in each round. */
  readonly seconds: number;
  /** Cases that hang are not repeated. */
  readonly rounds: number;
  /** How long silence is waited for before it is called a hang. */
  readonly timeoutMs: number;
  readonly onProgress?: (line: string) => void;
}

export interface TrapRound {
  readonly gigabitsPerSecond: number;
  /** Of both ends; null when nothing came through. */
  readonly cpuSecondsPerGigabyte: number | null;
  /** Median time of a message there and back; null when one was lost. */
  readonly smallUs: number | null;
  readonly largeUs: number | null;
  readonly streamHangs: boolean;
  /** Of both nodes together. */
  readonly perSecond: IpCounters;
}

export interface TrapResult {
  readonly case: TrapCase;
  readonly rounds: readonly TrapRound[];
}

export const SMALL_BYTES = 1;
/** Three segments: more than one, and what a page or a row of a database is. */
export const LARGE_BYTES = 4000;
const PORT = 5201;

/** Measures all cases, in turn. Run it where namespaces may be made, as root of them. */
export function measureMtuTrap(options: TrapOptions): Promise<TrapResult[]> {
  return measureInTurn(trapCases, options);
}

/** The same for any cases. */
export async function measureInTurn(cases: readonly TrapCase[], options: TrapOptions): Promise<TrapResult[]> {
  const stages = cases.map((trap, i) => ({ trap, stage: buildTrapStage(join(options.folder, `case${i}`), trap) }));
  const results = stages.map(({ trap }) => ({ case: trap, rounds: [] as TrapRound[] }));
  for (let round = 1; round <= options.rounds; round++) {
    for (const [i, { trap, stage }] of stages.entries()) {
      const measured = results[i]?.rounds ?? [];
      if (measured.some(({ streamHangs }) => streamHangs)) continue;
      options.onProgress?.(`round ${round} of ${options.rounds}: ${trap.name}`);
      measured.push(await measureRound(stage, options));
    }
  }
  return results;
}

async function measureRound(stage: TrapStage, options: TrapOptions): Promise<TrapRound> {
  const common = { address: stage.serverAddress, port: PORT, messageBytes: [SMALL_BYTES, LARGE_BYTES] };
  const { seconds, timeoutMs } = options;
  const task = { ...common, seconds, timeoutMs };
  const [clientPod, serverPod] = stage.pods;
  const server = startPeer({ ...task, role: "server", netns: serverPod.netns }, options.program);
  await server.reached("listening");
  const client = startPeer({ ...task, role: "client", netns: clientPod.netns }, options.program);
  await client.reached("streaming");
  const [before, started] = [countersOf(stage), performance.now()];
  const [sent, received] = await Promise.all([client.figures, server.figures]);
  const elapsed = (performance.now() - started) / 1000;
  return roundOf(sent, received, counterRates(before, countersOf(stage), elapsed));
}

function roundOf(sent: PeerFigures, received: PeerFigures, perSecond: IpCounters): TrapRound {
  const gigabytes = received.streamBytes / 1e9;
  const streamHangs = !sent.finished || !received.finished;
  const cpuSeconds = sent.streamCpuSeconds + received.streamCpuSeconds;
  return {
    gigabitsPerSecond: (gigabytes * 8) / received.streamSeconds,
    cpuSecondsPerGigabyte: streamHangs || gigabytes === 0 ? null : cpuSeconds / gigabytes,
    smallUs: sent.exchangeUs[0] ?? null,
    largeUs: sent.exchangeUs[1] ?? null,
    streamHangs,
    perSecond,
  };
}

/** Both nodes' counters, added up. */
function countersOf({ nodes }: TrapStage): IpCounters {
  const sum: Partial<Record<IpCounterName, number>> = {};
  for (const node of nodes) {
    const counters = Object.entries(node.run(() => readIpCounters())) as [IpCounterName, number][];
    for (const [name, value] of counters) sum[name] = (sum[name] ?? 0) + value;
  }
  return sum;
}

interface Peer {
  /** Settles when the event came; fails when the peer ended before. */
  reached(event: PeerEvent["event"]): Promise<void>;
  readonly figures: Promise<PeerFigures>;
}

function startPeer(task: PeerTask, program: string): Peer {
  const args = [...process.execArgv, program, "bench-peer", JSON.stringify(task)];
  const child = spawn("taskset", ["--cpu-list", String(lastCpu()), process.execPath, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const events = new Map<string, PromiseWithResolvers<PeerEvent>>();
  for (const event of ["listening", "streaming", "done"]) events.set(event, Promise.withResolvers());
  // What nobody waits for may fail as well.
  for (const { promise } of events.values()) promise.catch(() => undefined);
  createInterface({ input: child.stdout }).on("line", (line) => {
    const event = JSON.parse(line) as PeerEvent;
    events.get(event.event)?.resolve(event);
  });
  failWith(child, task, (error) => {
    for (const { reject } of events.values()) reject(error);
  });
  const wait = (event: string) => events.get(event)?.promise as Promise<PeerEvent>;
  return {
    reached: async (event) => void (await wait(event)),
    figures: wait("done") as Promise<PeerEvent & PeerFigures>,
  };
}

function failWith(child: ChildProcess, { role, netns }: PeerTask, fail: (error: BreakwaterError) => void): void {
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString("utf8")));
  const because = (why: string) =>
    fail(
      new BreakwaterError("BW_BENCH_PEER", `The ${role} of the measurement ended too early: ${why}`, {
        operation: "measure",
        object: netns,
        remedy: "Read what it said; taskset (util-linux) and a free TCP port 5201 in its namespace are needed",
      }),
    );
  child.on("error", (error) => because(error.message));
  child.on("close", (code, signal) => because(`${signal ?? `code ${code}`}${said === "" ? "" : `: ${said.trim()}`}`));
}

/** The last CPU that this process may use: the first ones serve interrupts on many machines. */
function lastCpu(): number {
  const list = /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return Number(list.split(/[,-]/).at(-1));
}
