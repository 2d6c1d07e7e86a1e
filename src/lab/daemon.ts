/**
 * A running lab: underlay, API server, an agent and a kubelet a node, faults, the control socket. It is the first
 * process of namespaces of its own (see launch.ts): when it ends, however it ends, the kernel takes everything with it.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openServerSocket } from "../kernel/inet-socket.ts";
import * as libc from "../kernel/libc.ts";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { BIRD_PROTOCOL, ROUTE_PROTOCOL } from "../model/marks.ts";
import { type ApiServer, createApiServer } from "./api/server.ts";
import { makeCertificate } from "./certificates.ts";
import type { ControlMethods, LabStatus, NodeStatus, PathRow, ProbeRequest } from "./control-protocol.ts";
import { serveControl } from "./control-server.ts";
import { definitionsFor } from "./definitions.ts";
import { type DialResult, dial } from "./dial.ts";
import { createFabric, type Fabric, rackOf } from "./fabric/fabric.ts";
import { fabricObjects } from "./fabric/objects.ts";
import { type FabricPlan, planFabric, RACK_LABEL, rackName } from "./fabric/plan.ts";
import { Faults } from "./faults/catalogue.ts";
import { faultPods } from "./faults/pods.ts";
import { formatKubeconfig } from "./kubeconfig.ts";
import { podNetns } from "./kubelet/pod-sandbox.ts";
import { applyManifests, type ManifestObject, readManifests } from "./manifests.ts";
import { type LabPaths, labPaths, nodePaths } from "./paths.ts";
import { podLogStream } from "./pod-log.ts";
import { resolveAddress, resolveNetns, type TargetSurroundings } from "./probe-targets.ts";
import { clusterReadiness, nodeIsReady, podSummary } from "./readiness.ts";
import { SupervisedProcess } from "./supervisor.ts";
import { type LabNode, type LabOptions, OUTSIDE, planTopology, type Topology } from "./topology.ts";
import { buildUnderlay, type Underlay } from "./underlay/underlay.ts";

export interface DaemonConfig {
  readonly options: LabOptions;
  /** Path of the program, to start agents and kubelets with. */
  readonly program: string;
  /** Listening socket in the machine's own namespace, for kubectl. */
  readonly apiFd: number;
  readonly apiPort: number;
}

/** Port of the API server on every node. */
const API_PORT = 6443;
const MS_NODEV_NOSUID = 0x6;
const MS_RDONLY = 1;
const MS_NOEXEC = 8;
const MS_REMOUNT = 32;
const MS_BIND = 4096;

interface Lab {
  readonly config: DaemonConfig;
  readonly paths: LabPaths;
  readonly topology: Topology;
  readonly underlay: Underlay;
  /** Routers that speak BGP. */
  readonly fabric: Fabric | undefined;
  readonly api: ApiServer;
  readonly agents: ReadonlyMap<string, SupervisedProcess>;
  readonly kubelets: ReadonlyMap<string, SupervisedProcess>;
  readonly faults: Faults;
}

/** Builds the lab and serves it until `down`. @param progress told one line a step */
export async function runDaemon(config: DaemonConfig, progress: (line: string) => void): Promise<void> {
  const paths = labPaths(config.options.name);
  const topology = planTopology(config.options);
  mountNamespaceFolder(paths.netns);
  if (config.options.tuning !== undefined) keepMachineSysctls();
  const certificate = makeCertificate([
    "127.0.0.1",
    "::1",
    "10.96.0.1",
    ...topology.nodes.flatMap((node) => node.addresses.map(({ address }) => address)),
  ]);
  const password = randomBytes(12).toString("hex");
  const { fabric: software } = config.options;
  const fabricPlan = software === undefined ? undefined : planFabric(topology, software, password);
  const underlay = buildUnderlay(topology, paths.netns, fabricPlan);
  const fabric = fabricPlan && startFabric(fabricPlan, underlay, paths);
  progress(
    `wired ${topology.nodes.length} nodes in ${topology.subnets.length} subnet${topology.subnets.length === 1 ? "" : "s"}`,
  );
  const token = randomBytes(24).toString("hex");
  const { cert, key } = await certificate;
  const api = createApiServer({
    clusterCidrs: topology.clusterCidrs,
    serviceCidrs: topology.serviceCidrs,
    tls: { cert, key },
    token,
    apiEndpoints: () =>
      topology.nodes.slice(0, 1).map((node) => ({ ip: node.addresses[0]?.address ?? "", port: API_PORT })),
    podLog: (namespace, name) => podLogStream(paths, namespace, name),
  });
  const objects = fabricPlan === undefined ? [] : fabricObjects(fabricPlan, password);
  for (const object of [...definitionsFor(config.options), ...objects]) api.store.create(structuredClone(object));
  await serveApi(config, topology, underlay, api);
  writeFileSync(paths.kubeconfig, formatKubeconfig(`https://127.0.0.1:${config.apiPort}`, cert, token), {
    mode: 0o600,
  });
  writeFileSync(paths.nodeKubeconfig, formatKubeconfig(`https://127.0.0.1:${API_PORT}`, cert, token), { mode: 0o600 });
  progress(`API server listens on https://127.0.0.1:${config.apiPort}`);
  const agents = new Map(
    topology.nodes.map((node) => [node.name, agentProcess(config, paths, node, underlay, fabricPlan)]),
  );
  const kubelets = new Map(
    topology.nodes.map((node) => [node.name, kubeletProcess(config, paths, node, underlay, fabricPlan)]),
  );
  const faults = new Faults({
    topology,
    underlay,
    fabric,
    agents,
    pods: faultPods(api.store, paths.netns),
    api: api.faults,
  });
  const lab: Lab = { config, paths, topology, underlay, fabric, api, agents, kubelets, faults };
  const { ended } = await serveLab(lab);
  for (const process of [...kubelets.values(), ...agents.values()]) process.start();
  progress("agents and kubelets are starting");
  await ended;
}

/** Before agents are there: their first sessions find somebody. */
function startFabric(plan: FabricPlan, { routers }: Underlay, paths: LabPaths): Fabric {
  const fabric = createFabric(plan, routers, paths);
  for (const router of fabric.routers.values()) router.start();
  return fabric;
}

/** Bindings on this tmpfs are seen by the lab's processes alone, and go with them. */
function mountNamespaceFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  libc.checked(libc.mount("tmpfs", folder, "tmpfs", MS_NODEV_NOSUID, "mode=0755"), "mount tmpfs on", folder);
}

/**
 * The lab's processes see sysctls of the machine, but do not write them: a profile sets what each node's network namespace
 * has for itself. Those of net/ belong to namespaces, or are hidden in all but the first.
 */
function keepMachineSysctls(): void {
  for (const folder of ["/proc/sys/fs", "/proc/sys/kernel", "/proc/sys/vm"]) {
    libc.checked(libc.mount(folder, folder, "none", MS_BIND, null), "bind", folder);
    const flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV_NOSUID | MS_NOEXEC;
    libc.checked(libc.mount("none", folder, "none", flags, null), "make read-only", folder);
  }
}

async function serveApi(config: DaemonConfig, topology: Topology, underlay: Underlay, api: ApiServer): Promise<void> {
  await api.listen({ fd: config.apiFd });
  for (const node of topology.nodes) {
    const host = underlay.nodes.get(node.name);
    for (const any of config.options.dualStack ? ["0.0.0.0", "::"] : ["0.0.0.0"]) {
      const fd = host?.run(() => openServerSocket(any, API_PORT, "TCP"));
      if (fd !== undefined) await api.listen({ fd });
    }
  }
}

function agentProcess(
  { program, options }: DaemonConfig,
  paths: LabPaths,
  node: LabNode,
  underlay: Underlay,
  fabric: FabricPlan | undefined,
): SupervisedProcess {
  const own = nodePaths(paths, node.name);
  for (const folder of [own.stateDir, own.cniConfDir, own.cniBinDir, paths.logs])
    mkdirSync(folder, { recursive: true });
  linkPlugins(options.cniChain, own.cniBinDir);
  const args = ["agent", "--node-name", node.name, "--kubeconfig", paths.nodeKubeconfig, "--routing", options.routing];
  args.push(
    "--state-dir",
    own.stateDir,
    "--cni-conf-dir",
    own.cniConfDir,
    "--cni-bin-dir",
    own.cniBinDir,
    "--cni-chain",
    options.cniChain.join(","),
    ...(options.serviceProxy === undefined ? [] : ["--service-proxy", options.serviceProxy]),
    ...(options.ipvsScheduler === undefined ? [] : ["--ipvs-scheduler", options.ipvsScheduler]),
    ...(options.flowtable === true ? ["--flowtable"] : []),
    ...(options.logDenied === undefined ? [] : ["--log-denied", String(options.logDenied)]),
    ...(options.clusterNetworkPolicies === true ? ["--cluster-network-policies"] : []),
    ...(options.loadBalancer === true ? ["--load-balancer"] : []),
    ...(options.tuning === undefined ? [] : ["--tuning", options.tuning]),
    ...planTopology(options).serviceCidrs.flatMap((cidr) => ["--service-cidr", cidr]),
    // What is behind the fabric has ways to the pods, and sees who they are.
    ...(fabric?.outside ?? []).flatMap((cidr) => ["--masquerade-except", cidr]),
  );
  return new SupervisedProcess({
    name: `agent ${node.name}`,
    netns: underlay.nodes.get(node.name)?.netns ?? "",
    args: [program, ...args],
    env: {},
    logFile: join(paths.logs, `agent-${node.name}.log`),
  });
}

/** Where Debian and where upstream puts CNI plugins. */
const PLUGIN_FOLDERS = ["/usr/lib/cni", "/opt/cni/bin"];

function linkPlugins(names: readonly string[], binDir: string): void {
  for (const name of names) {
    const path = PLUGIN_FOLDERS.map((folder) => join(folder, name)).find((candidate) => existsSync(candidate));
    if (path === undefined) {
      throw new BreakwaterError("BW_LAB_CNI", `There is no CNI plugin ${name} in ${PLUGIN_FOLDERS.join(" or ")}`, {
        object: name,
        remedy: "apt-get install containernetworking-plugins, or leave it out of --cni-chain",
      });
    }
    symlinkSync(path, join(binDir, name));
  }
}

function kubeletProcess(
  { program }: DaemonConfig,
  paths: LabPaths,
  node: LabNode,
  underlay: Underlay,
  fabric: FabricPlan | undefined,
): SupervisedProcess {
  const own = nodePaths(paths, node.name);
  const rack = fabric && rackOf(fabric, node.name);
  const netns = underlay.nodes.get(node.name)?.netns ?? "";
  const config = {
    nodeName: node.name,
    nodeIps: node.addresses.map(({ address }) => address),
    labels: {
      "topology.kubernetes.io/zone": node.zone,
      ...(rack === undefined ? {} : { [RACK_LABEL]: rackName(rack.subnet) }),
    },
    nodeNetns: netns,
    netnsFolder: paths.netns,
    kubeconfig: paths.nodeKubeconfig,
    cniConfDir: own.cniConfDir,
    cniBinDir: own.cniBinDir,
    podLogs: join(paths.logs, "pods"),
  };
  return new SupervisedProcess({
    name: `kubelet ${node.name}`,
    netns,
    args: [program, "lab-kubelet", JSON.stringify(config)],
    env: {},
    logFile: join(paths.logs, `kubelet-${node.name}.log`),
  });
}

/** `ended` settles when the lab is taken down. */
async function serveLab(lab: Lab): Promise<{ ended: Promise<void> }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const around = targets(lab);
  const server = await serveControl(lab.paths.control, {
    status: () => labStatus(lab),
    resolve: ({ target }) => {
      const netns = resolveNetns(target, around);
      const commands = [...(lab.fabric?.routers.values() ?? [])].find((router) => router.netns === netns)?.commands;
      return { netns, ...(commands === undefined ? {} : { commands }) };
    },
    probe: ({ probes, batch }) =>
      runParallel(probes, PARALLEL_PROBES, (probe) =>
        runProbe(probe, around).catch((error) => unlessBatch(batch, error)),
      ),
    addFault: (request) => lab.faults.add(request),
    clearFaults: ({ name }) => lab.faults.clear(name),
    apply: (params) => ({ created: applyManifests(lab.api.store, manifestsOf(params)) }),
    waitReady: ({ timeoutMs }) => clusterReadiness(lab.api.store, lab.topology, timeoutMs),
    paths: () => labRoutes(lab),
    down: async () => {
      await takeDown(lab);
      // The answer leaves first.
      setTimeout(resolve, 20);
      return {};
    },
  });
  return { ended: promise.finally(() => server.close()) };
}

function manifestsOf(params: ControlMethods["apply"][0]): ManifestObject[] {
  if ("folder" in params) return readManifests(params.folder);
  return params.objects.map((object) => ({ source: `${object.kind} ${object.metadata["name"]}`, object }));
}

function targets({ topology, api, underlay, paths }: Lab): TargetSurroundings {
  const hosts = new Map([...underlay.routers, [OUTSIDE.name, underlay.outside], ...underlay.nodes]);
  return {
    topology,
    store: api.store,
    hostNetns: (name) => hosts.get(name)?.netns,
    routers: [...underlay.routers.keys()],
    podNetns: (namespace, name) => {
      const pod = api.store.get("pods", namespace, name);
      const spec = pod?.["spec"] as { hostNetwork?: boolean; nodeName?: string } | undefined;
      if (spec?.hostNetwork === true) return hosts.get(spec.nodeName ?? "")?.netns;
      const path = podNetns(paths.netns, String(pod?.metadata["uid"]));
      return existsSync(path) ? path : undefined;
    },
  };
}

/** Dials under way at once: enough to be quick, few enough that each is measured and has a descriptor. */
const PARALLEL_PROBES = 256;

/** Results in the order of the items, so many under way at once. */
async function runParallel<T, R>(items: readonly T[], limit: number, run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await run(items[i] as T);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}

/** One entry of a batch that cannot be dialled must not cost the others their answers. */
function unlessBatch(batch: boolean | undefined, error: unknown): DialResult {
  if (batch !== true) throw error;
  return { allowed: false, answer: null, rttMs: null, error: messageOf(error) };
}

async function runProbe(probe: ProbeRequest, around: TargetSurroundings): Promise<DialResult> {
  const netns = resolveNetns(probe.from, around);
  const ip = resolveAddress(probe.to, around);
  return dial({ netns, ip, port: probe.port, protocol: probe.protocol ?? "TCP", timeoutMs: probe.timeoutMs ?? 2000 });
}

function labStatus({ config, paths, topology, api, agents, kubelets, faults }: Lab): LabStatus {
  const { name, routing, mtuBytes, dualStack } = config.options;
  const pods = api.store.list("pods").map(podSummary);
  const nodes = topology.nodes.map((node): NodeStatus => {
    const object = api.store.get("nodes", undefined, node.name);
    const spec = object?.["spec"] as { podCIDRs?: string[] } | undefined;
    return {
      name: node.name,
      subnet: node.subnet,
      zone: node.zone,
      addresses: node.addresses.map(({ address }) => address),
      podCidrs: spec?.podCIDRs ?? [],
      ready: object !== undefined && nodeIsReady(object),
      agentPid: agents.get(node.name)?.pid,
      agentRestarts: agents.get(node.name)?.restarts ?? 0,
      kubeletPid: kubelets.get(node.name)?.pid,
      pods: pods.filter((pod) => pod.node === node.name).length,
    };
  });
  const { kubeconfig } = paths;
  return { name, nodes, pods, routing, mtuBytes, dualStack, kubeconfig, faults: faults.list(), daemonPid: process.pid };
}

/** What each node's kernel does with packets for each other node's pods. */
function labRoutes({ topology, underlay }: Lab): PathRow[] {
  return topology.nodes.flatMap((from) => {
    const host = underlay.nodes.get(from.name);
    if (host === undefined) return [];
    const links = new Map(host.routes.links().map((link) => [link.index, link]));
    const routes = [ROUTE_PROTOCOL, BIRD_PROTOCOL].flatMap((protocol) => host.routes.routes({ protocol }));
    return topology.nodes.flatMap((to): PathRow[] => {
      const route = routes.find(({ destination }) => destination === `10.244.${to.index}.0/24`);
      const link = links.get(route?.oif ?? -1);
      if (route === undefined || link === undefined || from === to) return [];
      const mode = route.protocol === BIRD_PROTOCOL ? "bgp" : link.kind === "vxlan" ? "vxlan" : "direct";
      return [
        {
          from: from.name,
          to: to.name,
          mode,
          device: link.name,
          via: route.gateway ?? "",
          mtuBytes: route.mtuBytes ?? link.mtuBytes,
        },
      ];
    });
  });
}

async function takeDown({ kubelets, agents, fabric, api }: Lab): Promise<void> {
  const processes = [...kubelets.values(), ...agents.values()];
  // Nothing to save: namespaces, pods and state go with the lab.
  await Promise.all(processes.map((process) => process.hold("SIGKILL")));
  await Promise.all([...(fabric?.routers.values() ?? [])].map((router) => router.hold()));
  await api.close();
}
