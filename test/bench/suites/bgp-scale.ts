/**
 * One node with a real agent in a large cluster, and a router that speaks BGP with it: how long the routes of a thousand
 * nodes take, beside a BIRD that does nothing else; how long ten thousand Service addresses take to be announced.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { BirdControl } from "../../../src/agent/bgp/bird-control.ts";
import { type BirdPaths, birdPaths, startBird } from "../../../src/agent/bgp/bird-process.ts";
import { OWN_CRDS } from "../../../src/kube/own-crds.ts";
import { configureLink, type LabHost } from "../../../src/lab/underlay/host.ts";
import { wire } from "../../../src/lab/underlay/wire.ts";
import type { Ip } from "../../../src/model/ip.ts";
import { BIRD_PROTOCOL } from "../../../src/model/marks.ts";
import type { Bench } from "../bench.ts";
import { BenchCluster, type NodeSpec } from "../cluster.ts";
import { benchError } from "./bgp-lab.ts";
import { largeNode, largeNodes } from "./large-cluster.ts";
import { serviceObject, serviceWithSlice, sliceObject } from "./services-population.ts";

const NODES = 1000;
const SERVICES = 10_000;
const NODE = "node1";
const ROUTER: Ip = "10.1.255.254";
const ROUTER_AS = 65001;
const NODE_AS = 64512;
const WIRE_MTU = 1500;
const POLL_MS = 10;
const PATIENCE_MS = 240_000;

export async function measureScale(bench: Bench): Promise<void> {
  mkdirSync(bench.folder, { recursive: true });
  await measureNodes(bench);
  await measureServices(bench);
}

async function measureNodes(bench: Bench): Promise<void> {
  const nodes = largeNodes(NODES + 1);
  const prefixes = nodes.slice(1).map(({ podCidr }) => podCidr);
  await using cluster = await BenchCluster.start(join(bench.folder, "nodes"));
  const bare = await measureBare(bench, cluster, prefixes.slice(0, -1));
  const node = await routed(cluster, NODE);
  const router = await startRouter(bench, node.router, prefixes);
  try {
    populate(cluster, nodes.slice(0, -1));
    bench.say(`an agent learns the routes of ${NODES} nodes`);
    const started = performance.now();
    await cluster.startAgent(NODE, node.host, { routing: "bgp", probePort: 0 });
    await until("routes", () => learned(node.host) === NODES - 1);
    const details = { reference: bare, referenceName: "a bare BIRD, from its start" };
    bench.row(
      `${NODES} nodes: from the agent's start until all routes are in the kernel`,
      "s",
      since(started),
      details,
    );
    const joined = performance.now();
    cluster.addNode(nodes.at(-1) as NodeSpec);
    await until("route of one more", () => learned(node.host) === NODES);
    const limit = { reference: 1, referenceName: "limit", goal: 1 };
    bench.row(`${NODES} nodes: one more, until its route is in the kernel`, "s", since(joined), limit);
  } finally {
    await end(router);
  }
}

/** What BIRD alone needs with a configuration of ten lines: the same router, the same prefixes. */
async function measureBare(bench: Bench, cluster: BenchCluster, prefixes: readonly string[]): Promise<number> {
  const { host, router } = await routed(cluster, "bare");
  const far = await startRouter(bench, router, prefixes);
  const paths = birdFiles(bench, "bare");
  const ip = largeNode(1).ip;
  writeFileSync(
    paths.config,
    `log "${paths.log}" all; router id ${ip}; protocol device { }
protocol kernel { ipv4 { export all; import none; }; metric 9800; }
protocol bgp torouter { local ${ip} as ${NODE_AS}; neighbor ${ROUTER} as ${ROUTER_AS}; direct; connect delay time 1; ipv4 { import all; export none; }; }
`,
  );
  const started = performance.now();
  const bird = await host.run(() => startBird(paths, false));
  try {
    await until("routes of a bare BIRD", () => learned(host) === prefixes.length);
    return since(started);
  } finally {
    await end(bird);
    await end(far);
  }
}

async function measureServices(bench: Bench): Promise<void> {
  await using cluster = await BenchCluster.start(join(bench.folder, "services"), false);
  const { host, router: routerHost } = await routed(cluster, NODE);
  const router = await startRouter(bench, routerHost, []);
  try {
    populate(cluster, largeNodes(2));
    bench.say(`${SERVICES} Services`);
    for (let index = 0; index < SERVICES; index++) addService(cluster, index);
    const started = performance.now();
    bench.say("an agent announces their addresses");
    await cluster.startAgent(NODE, host, { routing: "bgp", probePort: 0 });
    // The node's own pod CIDR, too.
    await until("Service addresses", async () => (await announced(router)) === SERVICES + 1);
    const details = { reference: 60, referenceName: "limit", goal: 1 };
    bench.row(
      `${SERVICES} Service addresses: from the agent's start until the router has all`,
      "s",
      since(started),
      details,
    );
    const added = performance.now();
    addService(cluster, SERVICES);
    await until("one more address", async () => (await announced(router)) === SERVICES + 2);
    const limit = { reference: 2, referenceName: "limit", goal: 1 };
    bench.row(`${SERVICES} Service addresses: one more, until the router has it`, "s", since(added), limit);
  } finally {
    await end(router);
  }
}

/** 198.18.0.0/15 (RFC 2544) has room for them. */
const vip = (index: number): Ip => `198.${18 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;

function addService({ api: { store } }: BenchCluster, index: number): void {
  const one = serviceWithSlice(index);
  const service = serviceObject(one);
  // There are fewer node ports than Services.
  const spec = { ...service.spec, type: "LoadBalancer", allocateLoadBalancerNodePorts: false };
  store.create({ ...service, spec });
  const status = { loadBalancer: { ingress: [{ ip: vip(index) }] } };
  const { name, namespace } = service.metadata;
  store.modify("services", namespace, name, (draft) => Object.assign(draft, { status }), { subresource: "status" });
  store.create(sliceObject(one));
}

/** Nodes, the definitions of our kinds, the router as a peer, and that LoadBalancers' addresses are announced. */
function populate(cluster: BenchCluster, nodes: readonly NodeSpec[]): void {
  const { store } = cluster.api;
  const own = (kind: string, name: string, spec: object) => ({
    apiVersion: "breakwater.dev/v1alpha1",
    kind,
    metadata: { name },
    spec,
  });
  for (const definition of OWN_CRDS) store.create(structuredClone(definition));
  store.create(own("BGPPeer", "router", { address: ROUTER, asNumber: ROUTER_AS }));
  store.create(own("BGPConfiguration", "default", { nodeMesh: false, advertise: { loadBalancerIPs: true } }));
  for (const node of nodes) cluster.addNode(node);
}

/** A machine with the address of node 1, and on its wire a router. */
async function routed(cluster: BenchCluster, name: string): Promise<{ host: LabHost; router: LabHost }> {
  const [host, router] = [await cluster.host(name), await cluster.host(`${name}-router`)];
  wire(host, "eth0", router, "eth0", WIRE_MTU);
  configureLink(host, "eth0", [{ address: largeNode(1).ip, length: 16 }]);
  configureLink(router, "eth0", [{ address: ROUTER, length: 16 }]);
  return { host, router };
}

let files = 0;

function birdFiles(bench: Bench, name: string): BirdPaths {
  const paths = birdPaths(join(bench.folder, `${name}-${files++}`));
  mkdirSync(paths.folder, { recursive: true });
  return paths;
}

function startRouter(bench: Bench, host: LabHost, prefixes: readonly string[]): Promise<BirdControl> {
  const paths = birdFiles(bench, "router");
  const lines = [
    `log "${paths.log}" all; router id ${ROUTER}; protocol device { }`,
    `protocol static { ipv4; ${prefixes.map((prefix) => `route ${prefix} blackhole;`).join("\n")} }`,
    `protocol bgp tonode { local ${ROUTER} as ${ROUTER_AS}; neighbor ${largeNode(1).ip} as ${NODE_AS}; direct;`,
    "connect delay time 1; connect retry time 1; error wait time 1, 2; ipv4 { import all; export all; }; }",
  ];
  writeFileSync(paths.config, `${lines.join("\n")}\n`);
  return host.run(() => startBird(paths, false));
}

async function end(bird: BirdControl): Promise<void> {
  await bird.command("down").catch(() => undefined);
  bird.close();
}

/** Routes to other nodes' pods that BIRD put into the kernel. */
function learned(host: LabHost): number {
  return host.routes.routes({ protocol: BIRD_PROTOCOL }).filter(({ type }) => type === "unicast").length;
}

/** Prefixes that the router has from the node. */
async function announced(router: BirdControl): Promise<number> {
  const { lines } = await router.command("show route protocol tonode count");
  return Number(/^(\d+) of /.exec(lines[0]?.text ?? "")?.[1] ?? 0);
}

const since = (started: number) => (performance.now() - started) / 1000;

async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await check())) {
    if (performance.now() > deadline) throw benchError(`${what}: not within ${PATIENCE_MS / 1000} s`);
    await pause(POLL_MS);
  }
}
