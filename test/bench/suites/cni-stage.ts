/**
 * What the CNI measurements need: one node with a real agent, one node each for the plugins it is compared with, and the
 * namespaces of pods, which all of them use in turn.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createNamespace, inNamespaceAt } from "../../../src/kernel/netns.ts";
import { openRouteTable } from "../../../src/kernel/rtnetlink/route-socket.ts";
import { readConflist } from "../../../src/lab/kubelet/cni-exec.ts";
import { configureLink, createHost, type LabHost, setUp } from "../../../src/lab/underlay/host.ts";
import { BreakwaterError } from "../../../src/model/errors.ts";
import { deriveMac } from "../../../src/model/mac.ts";
import type { AgentProcess } from "../agent-process.ts";
import type { Bench } from "../bench.ts";
import { BenchCluster } from "../cluster.ts";
import { type DriverResult, type DriverRun, runDriver } from "../cni-driver.ts";
import { tool } from "../tools.ts";

/** Pods of a node: a little more than a kubelet's 110. */
export const POOL = 128;
/** Where Debian's containernetworking-plugins puts them. */
const DEBIAN_PLUGINS = "/usr/lib/cni";
const NODE_IP = "192.168.0.1";

/** Something that is executed as a CNI plugin. */
export interface Contender {
  readonly name: string;
  readonly host: LabHost;
  readonly plugin: string;
  readonly config: string;
  readonly pid?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export interface CniStage extends AsyncDisposable {
  readonly agent: AgentProcess;
  readonly node: LabHost;
  readonly netnsPrefix: string;
  readonly ours: Contender;
  readonly bridge: Contender;
  readonly masquerade: Contender;
  /** A static plugin that only asks a socket. */
  readonly floor: Contender;
  run(contender: Contender, run: Pick<DriverRun, "mode" | "count" | "parallel">): Promise<DriverResult>;
}

/** @param stateDir where our journal is; @default on tmpfs */
export async function openCniStage(bench: Bench, folder: string, stateDir?: string): Promise<CniStage> {
  const cluster = await BenchCluster.start(folder);
  const node = await cluster.host("node");
  addUplink(node);
  const podNamespaces = join(cluster.netns, "pod");
  cluster.addNode({ name: "node1", ip: NODE_IP, podCidr: "10.244.1.0/24" });
  cluster.addNode({ name: "node2", ip: "192.168.0.2", podCidr: "10.244.2.0/24" });
  for (let i = 0; i < POOL; i++) {
    createNamespace(`${podNamespaces}${i}`);
    cluster.addPod(`pod${i}`, "node1");
  }
  const agent = await cluster.startAgent("node1", node, stateDir === undefined ? {} : { stateDir });
  const floorServer = await startFloorServer(folder);
  const peer = (name: string, ipMasq: boolean) => peerContender(folder, cluster.netns, name, ipMasq);
  return {
    agent,
    node,
    netnsPrefix: podNamespaces,
    ours: ownContender(folder, node, agent),
    bridge: peer("bridge + host-local", false),
    masquerade: peer("bridge + host-local with ipMasq", true),
    floor: floorServer.contender(node),
    run: (contender, run) => measure(bench, contender, { netnsPrefix: podNamespaces, pool: POOL, ...run }),
    [Symbol.asyncDispose]: async () => {
      floorServer.process.kill();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

async function measure(
  bench: Bench,
  contender: Contender,
  run: Pick<DriverRun, "mode" | "count" | "parallel" | "netnsPrefix" | "pool">,
): Promise<DriverResult> {
  const result = await runDriver({ ...contender, ...run });
  bench.noise(result.foreignCores);
  if (result.failures > 0) {
    bench.problem(`${result.failures} calls of ${contender.name} failed; the first: ${result.firstFailure}`);
  }
  return result;
}

/** The node's own interface, by which the agent finds its underlay. Its other end stands in the same namespace. */
function addUplink(node: LabHost): void {
  const mtuBytes = 1500;
  const peer = { name: "wire", mac: deriveMac("bench wire"), mtuBytes };
  node.routes.createLink({ name: "eth0", mac: deriveMac("bench eth0"), mtuBytes, kind: { type: "veth", peer } });
  setUp(node, "wire");
  configureLink(node, "eth0", [{ address: NODE_IP, length: 24 }]);
}

/** The configuration as libcni derives it from the conflist on disk. */
function ownContender(folder: string, host: LabHost, { pid, cniConfDir, cniBinDir }: AgentProcess): Contender {
  const conflist = readConflist(cniConfDir);
  const [plugin] = conflist?.plugins ?? [];
  if (conflist === undefined || plugin === undefined) {
    throw new BreakwaterError("BW_BENCH_AGENT", `There is no conflist in ${cniConfDir}`, { object: cniConfDir });
  }
  const { name, cniVersion } = conflist;
  const config = join(folder, "ours.json");
  writeFileSync(config, JSON.stringify({ ...plugin, name, cniVersion }));
  return { name: "Breakwater", host, pid, plugin: join(cniBinDir, plugin.type), config };
}

function peerContender(folder: string, netns: string, name: string, ipMasq: boolean): Contender {
  const id = ipMasq ? "masq" : "bridge";
  const config = join(folder, `${id}.json`);
  const dataDir = join(folder, `${id}-data`);
  mkdirSync(dataDir);
  const ipam = { type: "host-local", subnet: "10.244.1.0/24", dataDir, routes: [{ dst: "0.0.0.0/0" }] };
  const plugin = { cniVersion: "1.0.0", name: id, type: "bridge", bridge: "cni0", isGateway: true, ipMasq, ipam };
  writeFileSync(config, JSON.stringify(plugin));
  return { name, host: createHost(netns, `peer-${id}`), plugin: join(DEBIAN_PLUGINS, "bridge"), config };
}

interface FloorServer {
  readonly process: ChildProcess;
  contender(host: LabHost): Contender;
}

async function startFloorServer(folder: string): Promise<FloorServer> {
  const env = { EXEC_FLOOR_SOCKET: join(folder, "floor.sock") };
  const process = spawn(tool("exec-floor"), ["serve"], { env, stdio: ["ignore", "pipe", "inherit"] });
  await once(process.stdout, "data");
  const config = join(folder, "floor.json");
  writeFileSync(config, JSON.stringify({ cniVersion: "1.0.0", name: "floor", type: "floor" }));
  return {
    process,
    contender: (host) => ({ name: "static exec + socket", host, plugin: tool("exec-floor"), config, env }),
  };
}

/** Interfaces beside loopback in the namespaces of pods. */
export function linksInPods(stage: CniStage): number {
  let links = 0;
  for (let i = 0; i < POOL; i++) {
    links += inNamespaceAt(`${stage.netnsPrefix}${i}`, () => {
      using routes = openRouteTable();
      return routes.links().filter(({ name }) => name !== "lo").length;
    });
  }
  return links;
}
