/**
 * Inside the emulated machine: the agent's own Service proxy, from Services and slices to the kernel, with each backend in
 * turn in a namespace of its own. Prints one JSON object a measurement. Arguments: Services, changes.
 */
import { setTimeout as pause } from "node:timers/promises";
import { DEFAULT_SERVICE_CONFIG, type ServiceConfig } from "../../../src/model/node-config.ts";
import { serviceKey } from "../../../src/model/service.ts";
import type { ServiceContext } from "../../../src/plan/services/frontends.ts";
import { type TestNamespace, testNamespace } from "../../kernel/namespaces.ts";
import { type NodeProxy, startProxy } from "../../vm/ipvs-node.ts";
import { endpointAt, population, type ServiceWithSlice, spareIp } from "./services-population.ts";

export interface StageLine {
  readonly what: "load" | "change" | "start";
  readonly backend: "nftables" | "ipvs";
  readonly ms: number;
}

const BACKENDS: Readonly<Record<StageLine["backend"], Partial<ServiceConfig>>> = {
  nftables: {},
  ipvs: { ipvs: { scheduler: "rr", drainSeconds: 900 } },
};
/** Longer than the proxy's pause between two commits: each change is a commit of its own, at once. */
const PAUSE_MS = 20;

const cleanups: (() => void)[] = [];
const stage = { after: (body: () => void) => void cleanups.push(body) } as Parameters<typeof testNamespace>[0];

function contextFor(config: Partial<ServiceConfig>): ServiceContext {
  const node = { name: "node1", addresses: ["192.168.0.1"], nodePortAddresses: ["192.168.0.1"] };
  return { ...node, podCidrs: ["10.244.1.0/24"], ...(config.ipvs === undefined ? {} : { ipvs: { elsewhere: [] } }) };
}

function print(line: StageLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** The API's Services are known; then the node is. @returns the proxy, and how long the second took */
function serve(ns: TestNamespace, services: readonly ServiceWithSlice[], config: Partial<ServiceConfig>) {
  const state = { services: services.map(({ service }) => service), slices: services.map(({ slice }) => slice) };
  let ms = 0;
  const timed = (body: () => void) => {
    const started = performance.now();
    body();
    ms = performance.now() - started;
  };
  const proxy = startProxy(stage, ns, contextFor(config), state, { ...DEFAULT_SERVICE_CONFIG, ...config }, timed);
  if (proxy.proxy.failure !== undefined) throw new Error(proxy.proxy.failure);
  return { proxy, ms };
}

/** Another endpoint takes the first one's place. */
function change({ proxy, source }: NodeProxy, services: readonly ServiceWithSlice[], number: number): number {
  const { service, slice } = services[(number * 7919) % services.length] as ServiceWithSlice;
  const before = source.slicesOf(serviceKey(service))[0]?.endpoints ?? [];
  const endpoints = [...before.slice(1), endpointAt(spareIp(number), number)];
  source.put(service, [{ ...slice, endpoints }]);
  const started = performance.now();
  proxy.request();
  return performance.now() - started;
}

async function measure(
  backend: StageLine["backend"],
  services: readonly ServiceWithSlice[],
  changes: number,
  say: (line: StageLine) => void,
): Promise<void> {
  const ns = testNamespace(stage, backend);
  const { proxy, ms } = serve(ns, services, BACKENDS[backend]);
  say({ what: "load", backend, ms });
  for (let number = 0; number < changes; number++) {
    await pause(PAUSE_MS);
    say({ what: "change", backend, ms: change(proxy, services, number) });
  }
  proxy[Symbol.dispose]();
  // What was changed becomes again what it was: few differences.
  say({ what: "start", backend, ms: serve(ns, services, BACKENDS[backend]).ms });
}

const [count = 1000, changes = 10] = process.argv.slice(2).map(Number);
// The kernel's modules are loaded, and V8 has seen the code.
for (const backend of ["nftables", "ipvs"] as const) await measure(backend, population(100), 20, () => undefined);
const services = population(count);
for (const backend of ["nftables", "ipvs"] as const) await measure(backend, services, changes, print);
for (const body of cleanups.reverse()) body();
process.exit(0);
