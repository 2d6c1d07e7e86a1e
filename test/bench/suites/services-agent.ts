/**
 * The agent as it ships, in a cluster of 10,000 Services: when it has them in the kernel, how long one change takes from
 * the API to there, and what all that costs in memory and CPU.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import { BreakwaterError } from "../../../src/model/errors.ts";
import type { Ip } from "../../../src/model/ip.ts";
import type { Bench } from "../bench.ts";
import { BenchCluster } from "../cluster.ts";
import { type EventLatency, eventLatency } from "../event-latency.ts";
import { cpuSeconds, machineBusySeconds, peakMegabytes, residentMegabytes } from "../process-usage.ts";
import { quantile } from "../statistics.ts";
import { addUnderlay, largeNode } from "./large-cluster.ts";
import { watchServiceElements } from "./services-events.ts";
import {
  endpointAt,
  endpointObject,
  population,
  type ServiceWithSlice,
  serviceIp,
  serviceObject,
  sliceObject,
  spareIp,
} from "./services-population.ts";

const NODE = largeNode(1);
const SERVICES = 10_000;
const QUICK_SERVICES = 1000;
const SETTLE_MS = 10_000;
/** Behind that the agent collects the garbage of its start, and V8 gives the pages back. */
const QUIET_MS = 15_000;
const PATIENCE_MS = 60_000;
const LIMITS = { memoryMegabytes: 200, changeMs: 10 };
const CHANGES_A_SECOND = 100;
/** What the agent says when its tables are complete. */
const LOADED = "Services are in the kernel";

export async function measureServingAgent(bench: Bench): Promise<void> {
  const count = bench.options.quick ? QUICK_SERVICES : SERVICES;
  bench.say(`an agent with ${count} Services`);
  await using cluster = await BenchCluster.start(join(bench.folder, "agent"), false);
  const host = await cluster.host(NODE.name);
  addUnderlay(host);
  cluster.addNode(NODE);
  const services = population(count);
  for (const each of services) {
    cluster.api.store.create(serviceObject(each));
    cluster.api.store.create(sliceObject(each));
  }
  const started = performance.now();
  const agent = await cluster.startAgent(NODE.name, host);
  await loaded(cluster.agentSettings(NODE.name, host).folder);
  bench.row(`agent's start until ${count} Services are in the kernel`, "s", (performance.now() - started) / 1000);
  await pause(SETTLE_MS);
  bench.row(`agent's memory, ${count} Services of 10 endpoints`, "MB", residentMegabytes(agent.pid), {
    reference: LIMITS.memoryMegabytes,
    referenceName: "limit",
    goal: 1,
  });
  await pause(QUIET_MS);
  bench.row("the same when it has gone quiet", "MB", residentMegabytes(agent.pid), {
    reference: peakMegabytes(agent.pid),
    referenceName: "at most",
  });
  using changes = new Changes(cluster, host, services);
  await measureSingle(bench, changes);
  await measureStream(bench, changes, agent.pid);
  bench.row(`agent's memory behind that`, "MB", residentMegabytes(agent.pid));
}

async function loaded(folder: string): Promise<void> {
  for (const until = performance.now() + PATIENCE_MS; performance.now() < until; await pause(20)) {
    if (readFileSync(join(folder, "agent.log"), "utf8").includes(LOADED)) return;
  }
  throw new BreakwaterError("BW_BENCH_AGENT", `The agent had no Services in the kernel within ${PATIENCE_MS / 1000} s`);
}

/** Changes of endpoints, until the kernel announces them. */
class Changes implements Disposable {
  readonly #cluster: BenchCluster;
  readonly #services: readonly ServiceWithSlice[];
  readonly #watch: Disposable;
  readonly #waiting = new Map<Ip, (at: number) => void>();
  #made = 0;

  constructor(cluster: BenchCluster, host: LabHost, services: readonly ServiceWithSlice[]) {
    this.#cluster = cluster;
    this.#services = services;
    this.#watch = watchServiceElements(host, (ip) => {
      this.#waiting.get(ip)?.(performance.now());
      this.#waiting.delete(ip);
    });
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  /** Another endpoint takes the first one's place; or one more comes; or the last one goes. */
  async one(kind: "replace" | "add" | "remove"): Promise<EventLatency> {
    const number = this.#made++;
    const index = (number * 7919) % this.#services.length;
    const { slice } = this.#services[index] as ServiceWithSlice;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#waiting.set(serviceIp(index), resolve);
    const timer = setTimeout(() => reject(late(slice.name)), PATIENCE_MS);
    const fresh = endpointObject(endpointAt(spareIp(number), number), `pod-${number}`);
    const write = () => {
      this.#cluster.api.store.modify("endpointslices", slice.namespace, slice.name, (draft) => {
        const endpoints = draft["endpoints"] as unknown[];
        if (kind !== "add") endpoints.shift();
        if (kind !== "remove") endpoints.push(fresh);
      });
    };
    const latency = await eventLatency(write, promise);
    clearTimeout(timer);
    return latency;
  }
}

function late(slice: string): BreakwaterError {
  return new BreakwaterError("BW_BENCH_AGENT", `The kernel had no change of ${slice} within ${PATIENCE_MS / 1000} s`);
}

/** One change, and nothing else until the next. */
async function measureSingle(bench: Bench, changes: Changes): Promise<void> {
  bench.say("single changes");
  const rounds = bench.options.quick ? 60 : 600;
  const ms: EventLatency[] = [];
  const kinds = ["replace", "add", "remove"] as const;
  for (let round = 0; round < rounds; round++) {
    ms.push(await changes.one(kinds[round % kinds.length] ?? "replace"));
    await pause(5 + (round % 7));
  }
  reportLatency(bench, "an endpoint's change", ms);
}

async function measureStream(bench: Bench, changes: Changes, pid: number): Promise<void> {
  const seconds = bench.options.quick ? 5 : 30;
  bench.say(`${CHANGES_A_SECOND} changes a second for ${seconds} s`);
  const others = () => machineBusySeconds() - cpuSeconds(pid) - cpuSeconds(process.pid);
  const [spent, busy, started] = [cpuSeconds(pid), others(), performance.now()];
  const pending: Promise<EventLatency>[] = [];
  while (pending.length < seconds * CHANGES_A_SECOND) {
    pending.push(changes.one("replace"));
    await pause(Math.max(0, started + (pending.length * 1000) / CHANGES_A_SECOND - performance.now()));
  }
  const ms = await Promise.all(pending);
  const elapsed = (performance.now() - started) / 1000;
  bench.noise((others() - busy) / elapsed);
  reportLatency(bench, `an endpoint's change, ${CHANGES_A_SECOND} a second`, ms);
  bench.row(
    `agent's CPU at ${CHANGES_A_SECOND} changes a second`,
    "% of a core",
    (100 * (cpuSeconds(pid) - spent)) / elapsed,
  );
}

function reportLatency(bench: Bench, name: string, made: readonly EventLatency[]): void {
  const ms = made.map(({ fromEvent }) => fromEvent);
  const written = made.map(({ fromWrite }) => fromWrite);
  const limit = { reference: LIMITS.changeMs, referenceName: "limit", goal: 1 };
  bench.row(`${name}, from the watch's event to the kernel, median`, "ms", quantile(ms, 0.5));
  bench.row(`${name}, 99th percentile`, "ms", quantile(ms, 0.99), limit);
  bench.row(`${name}, from the write in the API, median`, "ms", quantile(written, 0.5));
  bench.row(`${name}, from there, 99th percentile`, "ms", quantile(written, 0.99));
}
