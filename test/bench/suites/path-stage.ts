/**
 * The pairs of nodes between which packets are sent, each pair with a wire of its own (a veth pair, segmentation offload
 * passing through, MTU 1500):
 *
 *   bare     two nodes, nothing on them
 *   direct   two nodes with real agents; a pod on each, attached by the real plugin
 *   vxlan    the same with --routing vxlan
 *   flannel  what Flannel makes: a bridge with a veth port a pod, a VXLAN device behind it, a masquerading table
 */
import { join } from "node:path";
import { openNamespace } from "../../../src/kernel/netns.ts";
import { CniRuntime } from "../../../src/lab/kubelet/cni-exec.ts";
import { configureLink, createHost, type LabHost } from "../../../src/lab/underlay/host.ts";
import type { Ip } from "../../../src/model/ip.ts";
import { deriveMac } from "../../../src/model/mac.ts";
import type { AgentSettings } from "../agent-process.ts";
import type { Bench } from "../bench.ts";
import { BenchCluster } from "../cluster.ts";
import type { Endpoints } from "../path-probe.ts";
import { addFlannelPod, connectFlannel } from "./flannel-shape.ts";

export interface PathStage extends AsyncDisposable {
  /** Between the nodes, without and with our agents on them. */
  readonly bare: Endpoints;
  readonly node: Endpoints;
  readonly direct: Endpoints;
  readonly vxlan: Endpoints;
  readonly flannel: Endpoints;
}

export const WIRE_MTU_BYTES = 1500;
export const NODE_IPS = ["192.168.0.1", "192.168.0.2"] as const;

export async function openPathStage(bench: Bench): Promise<PathStage> {
  const clusters = new AsyncDisposableStack();
  try {
    const direct = await agentPair(bench, clusters, "direct", { routing: "direct" });
    const vxlan = await agentPair(bench, clusters, "vxlan", { routing: "vxlan" });
    const folder = join(bench.folder, "plain");
    const bare = wiredPair(["bare1", "bare2"].map((name) => createHost(folder, name)));
    const flannel = flannelPair(folder);
    return {
      bare: between(bare, NODE_IPS[1]),
      node: between(direct.nodes, NODE_IPS[1]),
      direct: direct.pods,
      vxlan: vxlan.pods,
      flannel,
      [Symbol.asyncDispose]: () => clusters.disposeAsync(),
    };
  } catch (error) {
    await clusters.disposeAsync();
    throw error;
  }
}

function between([client, server]: readonly LabHost[], address: Ip): Endpoints {
  return { client: client?.netns ?? "", server: server?.netns ?? "", address };
}

/** Connects two machines and gives them the nodes' addresses. */
export function wiredPair(hosts: readonly LabHost[]): readonly LabHost[] {
  const [a, b] = hosts as [LabHost, LabHost];
  using far = openNamespace(b.netns);
  const end = (host: LabHost) => ({ name: "eth0", mac: deriveMac(`bench ${host.name}`), mtuBytes: WIRE_MTU_BYTES });
  a.routes.createLink({ ...end(a), kind: { type: "veth", peer: { ...end(b), namespaceFd: far.fd } } });
  for (const [i, host] of hosts.entries()) {
    configureLink(host, "eth0", [{ address: NODE_IPS[i] ?? "", length: 24 }]);
    widenPorts(host);
  }
  return hosts;
}

/** A connect benchmark takes thousands of ports. */
function widenPorts(host: Pick<LabHost, "sysctl">): void {
  host.sysctl("net/ipv4/ip_local_port_range", "1024 65535");
}

export interface AgentPair {
  readonly nodes: readonly LabHost[];
  readonly pods: Endpoints;
}

/** Two nodes with agents and a pod each. What the agents made stays when `stack` ends them. */
export async function agentPair(
  bench: Bench,
  stack: AsyncDisposableStack,
  name: string,
  settings: Partial<AgentSettings>,
): Promise<AgentPair> {
  bench.say(`two nodes with agents: ${name}`);
  const cluster = stack.use(await BenchCluster.start(join(bench.folder, name)));
  const names = ["node1", "node2"] as const;
  const nodes = wiredPair(await Promise.all(names.map((name) => cluster.host(name))));
  for (const [i, name] of names.entries()) {
    cluster.addNode({ name, ip: NODE_IPS[i] ?? "", podCidr: `10.244.${i + 1}.0/24` });
  }
  const ips: Ip[] = [];
  for (const [i, name] of names.entries()) {
    const agent = await cluster.startAgent(name, nodes[i] as LabHost, settings);
    cluster.addPod(`pod${i + 1}`, name);
    const { ip } = await attachPod(cluster, `pod${i + 1}`, new CniRuntime(agent.cniConfDir, [agent.cniBinDir]));
    ips.push(ip);
  }
  const [client = "", server = ""] = ["pod1", "pod2"].map((pod) => join(cluster.netns, pod));
  return { nodes, pods: { client, server, address: ips[1] ?? "" } };
}

/** Makes a pod's namespace and calls the plugin for it. */
export async function attachPod(
  cluster: BenchCluster,
  name: string,
  runtime: CniRuntime,
): Promise<{ readonly pod: LabHost; readonly ip: Ip }> {
  const pod = createHost(cluster.netns, name);
  widenPorts(pod);
  const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${name}`;
  const { ips } = await runtime.add({
    containerId: `bench-${name}`,
    netns: pod.netns,
    ifname: "eth0",
    args,
    capabilities: {},
  });
  return { pod, ip: ips[0] ?? "" };
}

function flannelPair(folder: string): Endpoints {
  const nodes = wiredPair(["flannel1", "flannel2"].map((name) => createHost(folder, name)));
  const pods = nodes.map((node, i) => {
    const pod = createHost(folder, `flannel-pod${i + 1}`);
    widenPorts(pod);
    addFlannelPod(node, pod, i + 1);
    return pod;
  });
  connectFlannel(nodes as [LabHost, LabHost], NODE_IPS);
  return between(pods, "10.244.2.2");
}
