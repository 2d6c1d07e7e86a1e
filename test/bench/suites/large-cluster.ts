/** Nodes by the hundred: every second one on the subnet of the first, the others behind a router. */
import { configureLink, type LabHost, setUp } from "../../../src/lab/underlay/host.ts";
import { deriveMac } from "../../../src/model/mac.ts";
import type { NodeSpec } from "../cluster.ts";

/** Nodes are 10.1.x.x (a /16 on the link of node1) and 10.2.x.x; their pods have 10.128.0.0/9. */
export function largeNode(index: number): NodeSpec {
  const [high, low] = [Math.floor(index / 250), (index % 250) + 1];
  const subnet = index % 2 === 1 ? 1 : 2;
  const podCidr = `10.${128 + Math.floor(index / 256)}.${index % 256}.0/24`;
  return { name: `node${index}`, ip: `10.${subnet}.${high}.${low}`, podCidr };
}

export function largeNodes(count: number): NodeSpec[] {
  return Array.from({ length: count }, (_, i) => largeNode(i + 1));
}

/** The interface of node1. Its other end stands in the same namespace: nothing is to be sent. */
export function addUnderlay(host: LabHost): void {
  const mtuBytes = 1500;
  const peer = { name: "wire", mac: deriveMac("bench wire"), mtuBytes };
  host.routes.createLink({ name: "eth0", mac: deriveMac("bench eth0"), mtuBytes, kind: { type: "veth", peer } });
  setUp(host, "wire");
  configureLink(host, "eth0", [{ address: largeNode(1).ip, length: 16 }]);
}
