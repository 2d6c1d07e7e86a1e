/**
 * Two nodes on one wire, each with the agent's loop and one pod, in namespaces of the real kernel:
 *
 *   pod 10.244.1.5 ═══ node1 192.168.1.1 ═══════ node2 192.168.1.2 ═══ pod 10.244.2.5
 *       fd00:10:244:1::5     fd00:1::1              fd00:1::2              fd00:10:244:2::5
 */
import { spawnSync } from "node:child_process";
import type { TestContext } from "node:test";
import { createMetrics } from "../../src/agent/metrics.ts";
import { Mirror } from "../../src/agent/mirror.ts";
import { NodeNetwork } from "../../src/agent/node-network.ts";
import { createPodLinks } from "../../src/agent/pod-links.ts";
import { Reconciler } from "../../src/agent/reconciler.ts";
import { clusterNode, defaultConfig } from "../../src/agent/testing/node-rig.ts";
import type { PodAttachment } from "../../src/cni/pod-network.ts";
import { openConntrack } from "../../src/kernel/ctnetlink/conntrack-socket.ts";
import type { Conntrack } from "../../src/kernel/ctnetlink/types.ts";
import type { Kernel } from "../../src/kernel/kernel.ts";
import { NFT_TABLE } from "../../src/model/marks.ts";
import type { NftFlowtable } from "../../src/model/nft.ts";
import type { NodeConfig } from "../../src/model/node-config.ts";
import { namespaceKernel } from "../kernel/namespace-kernel.ts";
import { type TestNamespace, testNamespace } from "../kernel/namespaces.ts";

const metrics = createMetrics();

export interface RunningNode {
  readonly ns: TestNamespace;
  readonly pod: TestNamespace;
  readonly kernel: Kernel;
  readonly conntrack: Conntrack;
  readonly network: NodeNetwork;
  readonly reconciler: Reconciler;
  /** What the loop did and had to say. */
  readonly said: string[];
  /** Largest packets proven towards the other node, as the prober would have it. */
  readonly proven: Map<string, number>;
  flowtable(): NftFlowtable | undefined;
}

export function podIp(node: number, family: 4 | 6, host = 5): string {
  return family === 4 ? `10.244.${node}.${host}` : `fd00:10:244:${node}::${host}`;
}

export function podAttachment(node: number, netns: string, host = 5): PodAttachment {
  const ips = [podIp(node, 4, host), podIp(node, 6, host)];
  return { containerId: `pod-${node}-${host}`, ifname: "eth0", netns, ips };
}

/** @param others numbers of nodes that the cluster has besides, even ones: they are on the wire too, but not there */
export async function twoNodes(
  t: TestContext,
  config: Partial<NodeConfig> = {},
  others: readonly number[] = [],
): Promise<RunningNode[]> {
  const spaces = [1, 2].map((number) => testNamespace(t, `node${number}`)) as [TestNamespace, TestNamespace];
  run(
    spaces[0],
    `ip link add eth0 type veth peer name wire; ip link set wire netns ${spaces[1].path} name eth0; ip link set eth0 up
     ip address add 192.168.1.1/24 dev eth0; ip address add fd00:1::1/64 dev eth0 nodad`,
  );
  run(
    spaces[1],
    `ip link set eth0 up; ip address add 192.168.1.2/24 dev eth0; ip address add fd00:1::2/64 dev eth0 nodad`,
  );
  const nodes = spaces.map((ns, i) =>
    startNode(t, ns, { ...defaultConfig, nodeName: `node${i + 1}`, ...config }, others),
  );
  for (const [i, { network, pod }] of nodes.entries()) await network.attach(podAttachment(i + 1, pod.path));
  return nodes;
}

function startNode(t: TestContext, ns: TestNamespace, config: NodeConfig, others: readonly number[]): RunningNode {
  const pod = testNamespace(t, "pod");
  const kernel = namespaceKernel(ns);
  const conntrack = ns.run(() => openConntrack());
  const said: string[] = [];
  const proven = new Map<string, number>();
  const note = (_fields: object, message: string) => void said.push(message);
  const mirror = new Mirror(kernel);
  const podLinks = createPodLinks(kernel, mirror);
  const network: NodeNetwork = new NodeNetwork({
    kernel,
    mirror,
    podLinks,
    status: () => reconciler.status,
    onError: (error) => void said.push(String(error)),
    onAttached: () => reconciler.request("pod"),
  });
  const nodes = new Map([1, 2, ...others].map((number) => [`node${number}`, clusterNode(number)] as const));
  const reconciler: Reconciler = new Reconciler({
    kernel,
    mirror,
    config,
    nodes: () => nodes,
    pods: () => network.pods(),
    provenMtuBytes: () => proven,
    podLinks,
    log: { debug: () => undefined, info: note, warn: note, error: note },
    metrics,
  });
  t.after(() => {
    reconciler[Symbol.dispose]();
    conntrack[Symbol.dispose]();
    kernel[Symbol.dispose]();
  });
  reconciler.run();
  const flowtable = () => kernel.nftables.table(NFT_TABLE)?.flowtables?.[0];
  return { ns, pod, kernel, conntrack, network, reconciler, said, proven, flowtable };
}

/** Runs a shell script inside. @throws when it fails, with what it said */
export function run(ns: TestNamespace, script: string): string {
  const { status, stdout, stderr } = ns.run(() => spawnSync("sh", ["-ec", script], { encoding: "utf8" }));
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}
