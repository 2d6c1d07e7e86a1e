/** Clusters whose BGP is planned, each one golden file. node1 is planned; its ways come from its node's own plan. */
import { type BgpClusterConfig, type BgpPeerSpec, DEFAULT_BGP_CONFIG } from "../../../model/bgp.ts";
import type { ClusterNode, Labels } from "../../../model/cluster.ts";
import type { RoutingMode } from "../../../model/node-config.ts";
import type { NodeInterface } from "../../../model/state.ts";
import { planNode } from "../../plan.ts";
import { config, eth0, input, node } from "../../testing/scenarios.ts";
import type { BgpInput } from "../input.ts";

export function peer(name: string, change: Partial<BgpPeerSpec> = {}): BgpPeerSpec {
  return { name, address: "192.168.1.254", asNumber: 65001, nodes: [], importAllow: [], exportAllow: [], ...change };
}

export interface Given {
  readonly nodes: readonly ClusterNode[];
  readonly interfaces?: readonly NodeInterface[];
  readonly settings?: Partial<BgpClusterConfig>;
  readonly peers?: readonly BgpPeerSpec[];
  readonly passwords?: readonly (readonly [string, string])[];
  readonly provenMtuBytes?: ReadonlyMap<string, number>;
  readonly serviceAddresses?: readonly string[];
  /** @default "bgp" */
  readonly routing?: RoutingMode;
  readonly unread?: readonly string[];
}

export function bgpInput({
  nodes,
  interfaces,
  settings,
  peers = [],
  passwords = [],
  serviceAddresses,
  routing = "bgp",
  unread = [],
  ...rest
}: Given): BgpInput {
  const given = input({
    nodes,
    config: { ...config, routing },
    ...(interfaces === undefined ? {} : { interfaces }),
    ...rest,
  });
  const plan = planNode(given);
  const own = given.nodes.get("node1");
  if (!("state" in plan) || own === undefined) throw new RangeError("The scenario's node has no plan");
  return {
    own,
    facts: given.facts,
    nodes: given.nodes,
    state: plan.state,
    settings: { ...DEFAULT_BGP_CONFIG, ...settings },
    peers,
    passwords: new Map(passwords),
    beside: routing !== "bgp",
    unread,
    ...(serviceAddresses === undefined ? {} : { serviceAddresses }),
  };
}

function routed(one: ClusterNode, routing: RoutingMode): ClusterNode {
  return { ...one, routing };
}

function labelled(one: ClusterNode, labels: Labels): ClusterNode {
  return { ...one, labels };
}

const oneSubnet = [node(1, ["192.168.1.1"]), node(2, ["192.168.1.2"]), node(3, ["192.168.1.3"])];
const twoSubnets = [node(1, ["192.168.1.1"]), node(2, ["192.168.2.2"]), node(3, ["192.168.1.3"])];
const dualCidrs = (number: number) => [`10.244.${number}.0/24`, `fd00:10:244:${number}::/64`];
const dualNodes = [1, 2, 3].map((n) => node(n, [`192.168.1.${n}`, `fd00:1::${n}`], dualCidrs(n)));
const dual = eth0({
  addresses: [
    { address: "192.168.1.1", length: 24 },
    { address: "fd00:1::1", length: 64 },
  ],
});
const v6 = eth0({ addresses: [{ address: "fd00:1::1", length: 64 }] });
const v6Nodes = [1, 2].map((n) => node(n, [`fd00:1::${n}`], [`fd00:10:244:${n}::/64`]));
const reflector = { "breakwater.dev/route-reflector": "true" };
const reflectors = [{ key: "breakwater.dev/route-reflector", operator: "Exists", values: [] }] as const;

export const scenarios: Readonly<Record<string, BgpInput>> = {
  "single-node": bgpInput({ nodes: oneSubnet.slice(0, 1) }),
  "mesh-one-subnet": bgpInput({ nodes: oneSubnet }),
  "mesh-dual-stack": bgpInput({ nodes: dualNodes, interfaces: [dual] }),
  "mesh-ipv6-only": bgpInput({ nodes: v6Nodes, interfaces: [v6] }),
  "mesh-behind-router": bgpInput({ nodes: twoSubnets }),
  "mesh-narrow-path": bgpInput({ nodes: oneSubnet, provenMtuBytes: new Map([["node3", 1400]]) }),
  "mesh-long-name": bgpInput({
    nodes: [oneSubnet[0] as ClusterNode, { ...node(2, ["192.168.1.2"]), name: `${"rack-7.".repeat(12)}node2` }],
  }),
  "mesh-settings": bgpInput({
    nodes: oneSubnet,
    settings: { asNumber: 4_200_000_000, localPreference: 200, listenPort: 1790, communities: [[64512, 1]] },
  }),
  "services-to-peers": bgpInput({
    nodes: dualNodes.slice(0, 2),
    interfaces: [dual],
    settings: { communities: [[64512, 100]] },
    peers: [peer("tor", { exportAllow: ["172.16.0.0/12"] })],
    serviceAddresses: ["192.0.2.1/32", "192.0.2.7/32", "2001:db8::1/128"],
  }),
  "services-none-yet": bgpInput({ nodes: oneSubnet.slice(0, 2), peers: [peer("tor")], serviceAddresses: [] }),
  "reflector-client": bgpInput({
    nodes: [oneSubnet[0] as ClusterNode, labelled(node(2, ["192.168.1.2"]), reflector), node(3, ["192.168.1.3"])],
    settings: { routeReflectors: reflectors },
  }),
  "reflector-itself": bgpInput({
    nodes: [
      labelled(node(1, ["192.168.1.1"]), reflector),
      labelled(node(2, ["192.168.1.2"]), reflector),
      node(3, ["192.168.1.3"]),
    ],
    settings: { routeReflectors: reflectors },
  }),
  "reflector-that-routes-otherwise": bgpInput({
    nodes: [
      oneSubnet[0] as ClusterNode,
      routed(labelled(node(2, ["192.168.1.2"]), reflector), "vxlan"),
      node(3, ["192.168.1.3"]),
    ],
    settings: { routeReflectors: reflectors },
  }),
  "racks-two-routers": bgpInput({
    nodes: twoSubnets.map((each) => labelled(each, { rack: "r1" })),
    settings: {
      nodeMesh: false,
      communities: [
        [64512, 100],
        [64512, 1, 2],
      ],
    },
    peers: [
      peer("tor-b", {
        address: "192.168.1.253",
        asNumber: 65002,
        allowOwnAs: 1,
        nodes: [{ key: "rack", operator: "In", values: ["r1"] }],
      }),
      peer("tor-a", { bfd: true, ttlSecurity: true, passwordSecret: { name: "bgp", key: "tor-a" }, allowOwnAs: 1 }),
      peer("tor-elsewhere", { address: "192.168.9.1", nodes: [{ key: "rack", operator: "In", values: ["r9"] }] }),
    ],
    passwords: [["tor-a", "correct horse"]],
  }),
  "peer-with-everything": bgpInput({
    nodes: dualNodes,
    interfaces: [dual],
    settings: { localPreference: 150 },
    peers: [
      peer("core", {
        address: "10.0.0.1",
        asNumber: 64512,
        port: 1179,
        multihop: 4,
        gracefulRestart: 300,
        importAllow: ["172.16.0.0/12", "0.0.0.0/0", "2001:db8::/32"],
        exportAllow: ["172.20.0.0/16"],
        maxPrefixes: 50,
        localPreference: 120,
        communities: [[1, 2]],
      }),
      peer("edge", { localAsNumber: 64999, gracefulRestart: 0 }),
    ],
  }),
  "peers-that-cannot-be": bgpInput({
    nodes: oneSubnet,
    peers: [
      peer("a"),
      peer("b"),
      peer("far", { address: "10.9.9.9" }),
      peer("myself", { address: "192.168.1.1" }),
      peer("other-family", { address: "2001:db8::1", multihop: 3 }),
      peer("no-secret", { address: "192.168.1.250", passwordSecret: { name: "gone", key: "password" } }),
      peer("bad-secret", { address: "192.168.1.251", passwordSecret: { name: "bad", key: "password" } }),
    ],
    passwords: [["bad-secret", 'a"; }; protocol bgp evil { ']],
  }),
  "mesh-with-bfd": bgpInput({ nodes: oneSubnet.slice(0, 2), settings: { nodeMeshBfd: true } }),
  "beside-auto": bgpInput({
    routing: "auto",
    nodes: [dualNodes[0] as ClusterNode, ...twoSubnets.slice(1)],
    interfaces: [dual],
    settings: { communities: [[64512, 100]] },
    peers: [peer("tor", { importAllow: ["10.0.0.0/8"] })],
    serviceAddresses: ["192.0.2.1/32"],
  }),
  "beside-vxlan-without-peers": bgpInput({ routing: "vxlan", nodes: oneSubnet }),
  "beside-auto-of-nodes-by-bgp": bgpInput({
    routing: "auto",
    nodes: [
      oneSubnet[0] as ClusterNode,
      routed(node(2, ["192.168.2.2"]), "bgp"),
      routed(node(3, ["192.168.1.3"]), "bgp"),
    ],
    peers: [peer("tor", { importAllow: ["10.0.0.0/8"] })],
  }),
  "beside-auto-of-nodes-by-bgp-without-peers": bgpInput({
    routing: "auto",
    nodes: [oneSubnet[0] as ClusterNode, routed(node(2, ["192.168.2.2"]), "bgp"), node(3, ["192.168.1.3"])],
  }),
  "mesh-of-which-one-is-auto": bgpInput({
    nodes: [
      oneSubnet[0] as ClusterNode,
      routed(node(2, ["192.168.1.2"]), "auto"),
      routed(node(3, ["192.168.1.3"]), "bgp"),
    ],
  }),
  "settings-that-may-not-be-read": bgpInput({
    nodes: oneSubnet.slice(0, 2),
    unread: ["Cannot list bgppeers.breakwater.dev: the API server answered 403 Forbidden"],
  }),
  "no-peer-at-all": bgpInput({ nodes: oneSubnet, settings: { nodeMesh: false } }),
};
