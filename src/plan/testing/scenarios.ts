/** Clusters to plan for, as a list of what a node is given. Each is one golden file. */
import type { ClusterNode } from "../../model/cluster.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import type { LocalPod, NodeInterface } from "../../model/state.ts";
import type { PlanInput } from "../plan.ts";

export const config: NodeConfig = {
  nodeName: "node1",
  routing: "auto",
  vni: 4098,
  vxlanPort: 4789,
  masquerade: true,
  masqueradeExceptions: [],
};

export function eth0(change: Partial<NodeInterface> = {}): NodeInterface {
  const addresses = [{ address: "192.168.1.1", length: 24 }];
  return { name: "eth0", index: 2, mtuBytes: 1500, up: true, addresses, ...change };
}

const loopback: NodeInterface = {
  name: "lo",
  index: 1,
  mtuBytes: 65536,
  up: true,
  addresses: [{ address: "127.0.0.1", length: 8 }],
};

export function node(
  number: number,
  internalIps: readonly string[],
  podCidrs = [`10.244.${number}.0/24`],
): ClusterNode {
  return { name: `node${number}`, internalIps, podCidrs, labels: {} };
}

export function pod(number: number, ips = [`10.244.1.${number + 1}`]): LocalPod {
  const containerId = `container${number}`;
  return { containerId, ifname: "eth0", netns: `/run/netns/pod${number}`, ips, name: `default/pod${number}` };
}

type Given = Partial<Omit<PlanInput, "nodes">> & {
  readonly nodes: readonly ClusterNode[];
  readonly interfaces?: readonly NodeInterface[];
};

export function input({ nodes, interfaces = [loopback, eth0()], ...rest }: Given): PlanInput {
  return {
    config,
    facts: { nodeName: "node1", interfaces },
    nodes: new Map(nodes.map((entry) => [entry.name, entry])),
    pods: [],
    ...rest,
  };
}

const oneSubnet = [node(1, ["192.168.1.1"]), node(2, ["192.168.1.2"]), node(3, ["192.168.1.3"])];
const twoSubnets = [node(1, ["192.168.1.1"]), node(2, ["192.168.2.2"]), node(3, ["192.168.1.3"])];
const dualCidrs = (number: number) => [`10.244.${number}.0/24`, `fd00:10:244:${number}::/64`];
const dual = eth0({
  addresses: [
    { address: "192.168.1.1", length: 24 },
    { address: "fd00:1::1", length: 64 },
  ],
});
const dualNodes = [
  node(1, ["192.168.1.1", "fd00:1::1"], dualCidrs(1)),
  node(2, ["192.168.2.2", "fd00:2::2"], dualCidrs(2)),
  node(3, ["192.168.1.3", "fd00:1::3"], dualCidrs(3)),
];
const v6 = eth0({ addresses: [{ address: "fd00:1::1", length: 64 }] });
const v6Nodes = [1, 2, 3].map((n) => node(n, [n === 2 ? "fd00:2::2" : `fd00:1::${n}`], [`fd00:10:244:${n}::/64`]));

export const scenarios: Readonly<Record<string, PlanInput>> = {
  "single-node": input({ nodes: oneSubnet.slice(0, 1), pods: [pod(1), pod(2)] }),
  "three-nodes-one-subnet": input({ nodes: oneSubnet, pods: [pod(1)] }),
  "three-nodes-two-subnets": input({ nodes: twoSubnets, pods: [pod(1)] }),
  "routing-direct-behind-router": input({ nodes: twoSubnets, config: { ...config, routing: "direct" } }),
  "routing-vxlan": input({ nodes: oneSubnet, config: { ...config, routing: "vxlan", vni: 7, vxlanPort: 8472 } }),
  "routing-bgp": input({
    nodes: dualNodes,
    interfaces: [loopback, dual],
    config: { ...config, routing: "bgp" },
    pods: [pod(1, ["10.244.1.2", "fd00:10:244:1::2"])],
    provenMtuBytes: new Map([["node3", 1400]]),
  }),
  "bgp-beside-auto": input({ nodes: twoSubnets, pods: [pod(1)], announced: true }),
  "dual-stack": input({
    nodes: dualNodes,
    interfaces: [loopback, dual],
    pods: [pod(1, ["10.244.1.2", "fd00:10:244:1::2"])],
  }),
  "dual-stack-peer-without-ipv6": input({
    nodes: [...dualNodes.slice(0, 2), node(3, ["192.168.1.3"], dualCidrs(3))],
    interfaces: [loopback, dual],
  }),
  "ipv6-only": input({ nodes: v6Nodes, interfaces: [loopback, v6], pods: [pod(1, ["fd00:10:244:1::2"])] }),
  "jumbo-underlay": input({ nodes: twoSubnets, interfaces: [loopback, eth0({ mtuBytes: 9000 })], pods: [pod(1)] }),
  "mtu-limit": input({ nodes: twoSubnets, config: { ...config, mtuBytes: 1400 }, pods: [pod(1)] }),
  "mtu-proven-lower": input({
    nodes: twoSubnets,
    pods: [pod(1)],
    provenMtuBytes: new Map([
      ["node2", 1392],
      ["node3", 1500],
    ]),
  }),
  "path-below-ipv6-minimum": input({
    nodes: dualNodes,
    interfaces: [loopback, dual],
    pods: [pod(1, ["10.244.1.2", "fd00:10:244:1::2"])],
    provenMtuBytes: new Map([["node2", 1250]]),
  }),
  "peer-without-pod-cidr": input({ nodes: [...oneSubnet.slice(0, 2), node(3, ["192.168.1.3"], [])] }),
  "peer-without-address": input({ nodes: [...oneSubnet.slice(0, 2), node(3, [])] }),
  "overlapping-pod-cidrs": input({
    nodes: [
      node(1, ["192.168.1.1"]),
      node(2, ["192.168.1.2"], ["10.244.2.0/23"]),
      node(3, ["192.168.1.3"], ["10.244.3.0/24"]),
      node(4, ["192.168.1.4"], ["10.244.1.128/25"]),
    ],
  }),
  "masquerade-off": input({ nodes: oneSubnet, config: { ...config, masquerade: false } }),
  "masquerade-exceptions": input({
    nodes: oneSubnet,
    config: { ...config, masqueradeExceptions: ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"] },
  }),
  flowtable: input({
    nodes: twoSubnets,
    config: { ...config, flowtable: true },
    facts: { nodeName: "node1", interfaces: [loopback, eth0()], flowtables: true },
    pods: [pod(1), pod(2)],
  }),
  "flowtable-on-a-kernel-without": input({
    nodes: oneSubnet,
    config: { ...config, flowtable: true },
    facts: { nodeName: "node1", interfaces: [loopback, eth0()], flowtables: false },
    pods: [pod(1)],
  }),
  "node-unknown": input({ nodes: oneSubnet.slice(1) }),
  "node-without-pod-cidr": input({ nodes: [node(1, ["192.168.1.1"], []), ...oneSubnet.slice(1)] }),
  "node-whose-pod-cidr-is-taken": input({
    nodes: [node(1, ["192.168.1.1"]), { ...node(0, ["192.168.1.9"]), podCidrs: ["10.244.0.0/16"] }],
  }),
  "node-without-its-address": input({ nodes: [node(1, ["192.168.77.1"])] }),
  "node-without-any-address": input({ nodes: [node(1, [])] }),
};
