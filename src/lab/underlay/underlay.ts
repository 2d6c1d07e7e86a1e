/**
 * Builds the machines and the wires between them:
 *
 *   node1 eth0 ── port node1 ┐                     ┌ port node2 ── eth0 node2
 *                            sw1 ── routers ── sw2
 *                                      └ ext ── eth0 outside
 *
 * A switch is a bridge without addresses in the namespace "fabric"; routers.ts has what is between them.
 */
import type { FabricPlan } from "../fabric/plan.ts";
import { FABRIC, type LabNode, type Topology } from "../topology.ts";
import { addDefaultRoutes, configureLink, createHost, type LabHost, linkIndex } from "./host.ts";
import { buildRouters, type Routers } from "./routers.ts";
import { wire } from "./wire.ts";

export interface Underlay extends Routers {
  /** The switches. */
  readonly fabric: LabHost;
  readonly nodes: ReadonlyMap<string, LabHost>;
}

/**
 * @param folder where namespaces are bound
 * @param plan routers that speak BGP, in the place of the one that does not
 */
export function buildUnderlay(topology: Topology, folder: string, plan?: FabricPlan): Underlay {
  const { mtuBytes } = topology.options;
  const fabric = createHost(folder, FABRIC);
  prepareFabric(fabric);
  for (const { index } of topology.subnets) {
    fabric.routes.createLink({ name: `sw${index}`, mtuBytes, up: true, kind: { type: "bridge" } });
  }
  const routers = buildRouters(topology, plan, fabric, folder);
  const nodes = new Map(topology.nodes.map((node) => [node.name, buildNode(node, fabric, folder, mtuBytes)]));
  return { ...routers, fabric, nodes };
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

function buildNode(node: LabNode, fabric: LabHost, folder: string, mtuBytes: number): LabHost {
  const host = createHost(folder, node.name);
  wire(fabric, node.name, host, "eth0", mtuBytes, linkIndex(fabric, `sw${node.subnet}`));
  configureLink(host, "eth0", node.addresses);
  addDefaultRoutes(host, "eth0", node.gateways);
  return host;
}
