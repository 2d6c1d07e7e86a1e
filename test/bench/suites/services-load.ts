/**
 * What it takes to bring Services into the kernel, all of them and one change: our table beside rulesets of kube-proxy's
 * shapes, each in a namespace of its own, in turn.
 */
import { join } from "node:path";
import { createHost, type LabHost } from "../../../src/lab/underlay/host.ts";
import type { Bench } from "../bench.ts";
import { median } from "../statistics.ts";
import { OurServices } from "./services-ours.ts";
import { PeerNftables } from "./services-peer-batch.ts";
import { allServices, changedService, findRestore, restore } from "./services-peer-iptables.ts";
import {
  addHooks,
  addServices,
  addShared,
  CHUNK,
  changeService,
  deleteEndpoint,
  loadInChunks,
} from "./services-peer-nft.ts";
import { ENDPOINTS, endpointAt, population, type ServiceWithSlice, spareIp } from "./services-population.ts";

const COUNTS = [100, 1000, 10_000] as const;
const MANY = 10_000;
/** Goals are those of the largest count. */
const LOAD_GOAL = 0.02;
const CHANGE_GOAL = 0.01;
const REPLACE_GOAL = 1.2;
const TABLE = "kube-proxy";

/** Two ways into the kernel: one endpoint of a Service more, and as before. */
interface Contender {
  readonly name: string;
  load(): void;
  add(each: ServiceWithSlice, address: string): void;
  remove(each: ServiceWithSlice, address: string): void;
  /** What is done later, when nobody waits for it. */
  tidy(each: ServiceWithSlice, address: string): void;
}

export function measureLoads(bench: Bench): void {
  for (const count of COUNTS) {
    if (bench.options.quick && count === MANY) continue;
    bench.say(`${count} Services of ${ENDPOINTS} endpoints`);
    measureCount(bench, count);
  }
  measureReplacement(bench);
}

function measureCount(bench: Bench, count: number): void {
  using stack = new DisposableStack();
  const host = (name: string) => createHost(join(bench.folder, `load${count}`), name);
  const services = population(count);
  const ours = stack.use(new OurServices(host("ours")));
  const contenders = [
    inOneTransaction(stack.use(nftablesOf(host("nft"))), services),
    inChunks(stack.use(nftablesOf(host("chunks"))), services),
    ...byIptables(host("iptables"), services),
  ];
  const own = { plan: [], load: [], reload: [], add: [], remove: [] } as Record<keyof Samples, number[]>;
  const peers = contenders.map((contender) => ({ contender, load: [] as number[], change: [] as number[] }));
  for (let round = 0; round < loadRounds(bench, count); round++) {
    own.plan.push(time(() => ours.plan(services)));
    own.load.push(time(() => ours.load()));
    ours.plan(services);
    own.reload.push(time(() => ours.reload()));
    for (const { contender, load } of peers) {
      if (round >= peerRounds(count)) continue;
      if (count === MANY) bench.say(`${contender.name}: ${count} Services`);
      load.push(time(() => contender.load()));
    }
    if (round + 1 < loadRounds(bench, count)) ours.delete();
  }
  for (let round = 0; round < changeRounds(bench, count); round++) {
    const each = services[(round * 7919) % count] as ServiceWithSlice;
    const address = spareIp(round);
    const { endpoints } = each.slice;
    own.add.push(time(() => ours.change(each, [...endpoints, endpointAt(address)])));
    own.remove.push(time(() => ours.change(each, endpoints)));
    ours.sweep();
    for (const { contender, change } of peers) {
      if (round >= changeRounds(bench, count) / 10) continue;
      const [added, removed] = [time(() => contender.add(each, address)), time(() => contender.remove(each, address))];
      change.push((added + removed) / 2);
      contender.tidy(each, address);
    }
  }
  report(bench, count, own, peers);
}

type Samples = Readonly<Record<"plan" | "load" | "reload" | "add" | "remove", readonly number[]>>;
interface PeerSamples {
  readonly contender: Contender;
  readonly load: readonly number[];
  /** Of an addition and a removal, the mean. */
  readonly change: readonly number[];
}

function report(bench: Bench, count: number, own: Samples, peers: readonly PeerSamples[]): void {
  const what = `${count} Services`;
  bench.row(`${what} planned`, "ms", median(own.plan));
  for (const [i, { contender, load }] of peers.entries()) {
    const reference = { reference: median(load), referenceName: contender.name };
    const details = { ...reference, ...(count === MANY && i === 0 ? { goal: LOAD_GOAL } : {}) };
    bench.row(`${what} loaded`, "ms", median(own.load), details);
    if (i === 0) bench.row(`${what} deleted and loaded anew, one transaction`, "ms", median(own.reload), details);
  }
  for (const [i, { contender, change }] of peers.entries()) {
    // Both peers of nftables have the same ruleset.
    if (i === 1) continue;
    const reference = { reference: median(change), referenceName: contender.name };
    const details = { ...reference, ...(count === MANY && i === 0 ? { goal: CHANGE_GOAL } : {}) };
    bench.row(`one endpoint more, ${what}`, "ms", median(own.add), details);
    bench.row(`one endpoint less, ${what}`, "ms", median(own.remove), details);
  }
}

function loadRounds(bench: Bench, count: number): number {
  return bench.options.quick ? 3 : count === MANY ? 5 : 10;
}

/** Some of them take minutes. */
function peerRounds(count: number): number {
  return count === MANY ? 1 : 3;
}

function changeRounds(bench: Bench, count: number): number {
  return bench.options.quick || count === MANY ? 100 : 300;
}

function time(body: () => void): number {
  const started = performance.now();
  body();
  return performance.now() - started;
}

function nftablesOf(host: LabHost): PeerNftables {
  return host.run(() => new PeerNftables(TABLE));
}

function inOneTransaction(nft: PeerNftables, services: readonly ServiceWithSlice[]): Contender {
  const load = () => {
    addShared(nft);
    addServices(nft, services);
    addHooks(nft);
  };
  return { ...nftContender(nft), name: "kube-proxy's nftables", load: loader(nft, () => nft.transaction(load)) };
}

function inChunks(nft: PeerNftables, services: readonly ServiceWithSlice[]): Contender {
  const load = () => loadInChunks(nft, services);
  return { ...nftContender(nft), name: `the same, ${CHUNK} a transaction`, load: loader(nft, load) };
}

/** The table that a round before has left goes first, and not in the time of the load. */
function loader(nft: PeerNftables, load: () => void): () => void {
  let isLoaded = false;
  return () => {
    if (isLoaded) nft.transaction(() => nft.deleteTable());
    isLoaded = true;
    load();
  };
}

function nftContender(nft: PeerNftables): Pick<Contender, "add" | "remove" | "tidy"> {
  return {
    add: (each, address) => nft.transaction(() => changeService(nft, withEndpoint(each, address), address)),
    remove: (each) => nft.transaction(() => changeService(nft, each)),
    tidy: (each, address) => nft.transaction(() => deleteEndpoint(nft, each, address)),
  };
}

function byIptables(host: LabHost, services: readonly ServiceWithSlice[]): Contender[] {
  const tool = host.run(findRestore);
  if (tool === undefined) return [];
  const run = (text: string, ...options: string[]) => host.run(() => restore(tool, text, options));
  return [
    {
      name: `kube-proxy's iptables (${tool})`,
      load: () => run(allServices(services)),
      add: (each, address) => run(changedService(withEndpoint(each, address)), "--noflush", "--counters"),
      remove: (each, address) => run(changedService(each, [address]), "--noflush", "--counters"),
      tidy: () => undefined,
    },
  ];
}

function withEndpoint(each: ServiceWithSlice, address: string): ServiceWithSlice {
  const { service, slice } = each;
  return { service, slice: { ...slice, endpoints: [...slice.endpoints, endpointAt(address)] } };
}

/** An endpoint takes another's place, with few Services and with many, in turn. */
function measureReplacement(bench: Bench): void {
  using stack = new DisposableStack();
  const [few, many] = [100, MANY].map((count) => {
    const ours = stack.use(new OurServices(createHost(join(bench.folder, "replace"), `replace${count}`)));
    const services = population(count);
    ours.plan(services);
    ours.load();
    return { ours, services, ms: [] as number[] };
  }) as unknown as [Replaced, Replaced];
  for (let round = 0; round < (bench.options.quick ? 500 : 3000); round++) {
    for (const { ours, services, ms } of [few, many]) {
      const each = services[(round * 7919) % services.length] as ServiceWithSlice;
      const [, ...others] = each.slice.endpoints;
      const endpoints = asReceived([...others, endpointAt(spareIp(round))]);
      ms.push(time(() => ours.change(each, endpoints)));
      ours.change(each, each.slice.endpoints);
    }
  }
  bench.row(`an endpoint replaced, ${MANY} Services`, "ms", median(many.ms), {
    reference: median(few.ms),
    referenceName: "100 Services",
    goal: REPLACE_GOAL,
  });
}

/** Objects that were just parsed, as those of a watch are: not the old ones, which the caches have forgotten. */
function asReceived<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

interface Replaced {
  readonly ours: OurServices;
  readonly services: readonly ServiceWithSlice[];
  readonly ms: number[];
}
