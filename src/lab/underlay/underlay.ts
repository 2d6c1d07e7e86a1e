/**
 * Builds the machines and the wires between them:
 *
 *   node1 eth0 ── port node1 ┐            ┌ port node2 ── eth0 node2
 *                            sw1 (fabric) sw2
 *                              └ r1 router r2 ┘
 *                                    └ ext ── eth0 outside
 *
 * A switch is a bridge without addresses in the namespace "fabric"; the router forwards between the subnets.
 */

import { openNamespace } from "../../kernel/netns.ts";
import { deriveMac } from "../../model/mac.ts";
import { FABRIC, type LabNode, OUTSIDE, ROUTER, type Topology } from "../topology.ts";
import { addDefaultRoutes, configureLink, createHost, type LabHost, linkIndex } from "./host.ts";

export interface Underlay {
  readonly fabric: LabHost;
  readonly router: LabHost;
  readonly outside: LabHost;
  readonly nodes: ReadonlyMap<string, LabHost>;
}

/** @param folder where namespaces are bound */
export function buildUnderlay(topology: Topology, folder: string): Underlay {
  const { mtuBytes } = topology.options;
  const fabric = createHost(folder, FABRIC);
  const router = createHost(folder, ROUTER);
  const outside = createHost(folder, OUTSIDE.name);
  prepareFabric(fabric);
  prepareRouter(router);
  for (const subnet of topology.subnets) {
    const name = `sw${subnet.index}`;
    fabric.routes.createLink({ name, mtuBytes, up: true, kind: { type: "bridge" } });
    wire(fabric, `r${subnet.index}-port`, router, `r${subnet.index}`, mtuBytes, linkIndex(fabric, name));
    configureLink(router, `r${subnet.index}`, subnet.gateways);
  }
  wire(router, "ext", outside, "eth0", mtuBytes);
  configureLink(router, "ext", OUTSIDE.gateways);
  configureLink(outside, "eth0", OUTSIDE.addresses);
  addDefaultRoutes(
    outside,
    "eth0",
    OUTSIDE.gateways.map(({ address }) => address),
  );
  const nodes = new Map(topology.nodes.map((node) => [node.name, buildNode(node, fabric, folder, mtuBytes)]));
  return { fabric, router, outside, nodes };
}

/** Bridged frames must not pass the fabric's own netfilter, and a switch has no addresses. */
function prepareFabric(fabric: LabHost): void {
  for (const name of ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"]) {
    try {
      fabric.sysctl(`net/${name}`, "0");
    } catch {
      // Without br_netfilter there is nothing to switch off.
    }
  }
  fabric.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
}

function prepareRouter(router: LabHost): void {
  router.sysctl("net/ipv4/ip_forward", "1");
  router.sysctl("net/ipv6/conf/all/forwarding", "1");
}

function buildNode(node: LabNode, fabric: LabHost, folder: string, mtuBytes: number): LabHost {
  const host = createHost(folder, node.name);
  wire(fabric, node.name, host, "eth0", mtuBytes, linkIndex(fabric, `sw${node.subnet}`));
  configureLink(host, "eth0", node.addresses);
  addDefaultRoutes(host, "eth0", node.gateways);
  return host;
}

/** A veth pair between two hosts. MACs follow from the names, so that two labs look alike in a capture. */
export function wire(a: LabHost, nameA: string, b: LabHost, nameB: string, mtuBytes: number, master?: number): void {
  using far = openNamespace(b.netns);
  a.routes.createLink({
    name: nameA,
    mac: deriveMac(`lab ${a.name} ${nameA}`),
    mtuBytes,
    up: true,
    kind: {
      type: "veth",
      peer: { name: nameB, mac: deriveMac(`lab ${b.name} ${nameB}`), mtuBytes, namespaceFd: far.fd },
    },
  });
  // A bridge takes the port only now: a master given at creation is refused for a pair.
  if (master !== undefined) a.routes.changeLink(linkIndex(a, nameA), { master });
}
