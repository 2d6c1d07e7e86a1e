/**
 * A node's wire gets another MTU: the node's end and the switch port, as when a link is renegotiated or somebody edits
 * the interface. The node sees it; who sends to it does not. What is too large for a port is dropped in the switch, in
 * silence, as a real one does.
 */
import { BreakwaterError } from "../../model/errors.ts";
import type { NftRule } from "../../model/nft.ts";
import type { LabNode, Topology } from "../topology.ts";
import { addDefaultRoutes, type LabHost, linkIndex } from "../underlay/host.ts";
import { allOrNothing } from "./all-or-nothing.ts";
import type { FaultKind, FaultSurroundings, FaultTarget } from "./fault.ts";
import { filterTable, removeTable, replaceTable } from "./nft-table.ts";
import type { Sender } from "./segmentation.ts";
import { LEAST_IPV6_MTU_BYTES, sizeParameter } from "./sizes.ts";

const SUBJECT = "MTU of a node's wire";

export const underlayMtu: FaultKind = {
  name: "underlay-mtu",
  summary: "Both ends of the node's wire get another MTU, less or more; what others send too large is lost in silence",
  parameters: { bytes: "1400" },
  subject: SUBJECT,
  teachesPathMtu: true,
  add: async (target, around) => {
    const now = wireMtu(target);
    const bytes = sizeParameter(target.parameters, {
      remedy: `The wire has ${now} now; say which it shall have with --size BYTES`,
    });
    if (bytes === now) {
      throw new BreakwaterError("BW_REFUSED", `eth0 of ${target.node} has MTU ${now} already`, {
        remedy: "Say which it shall have with --size BYTES",
      });
    }
    return renegotiate(target, around, bytes);
  },
};

/** Older than underlay-mtu: smaller only. */
export const mtu: FaultKind = {
  name: "mtu",
  summary: "The same, for less alone (100 bytes less, unless told)",
  parameters: { bytes: "less" },
  subject: SUBJECT,
  teachesPathMtu: true,
  add: async (target, around) => {
    const now = wireMtu(target);
    const { bytes = "less" } = target.parameters;
    const wanted = bytes === "less" ? String(Math.min(1400, now - 100)) : bytes;
    const remedy = `The wire has ${now} now; give less with --size BYTES`;
    return renegotiate(target, around, sizeParameter({ bytes: wanted }, { most: now - 1, remedy }));
  },
};

function wireMtu({ host }: FaultTarget): number {
  return host.routes.link("eth0")?.mtuBytes ?? 1500;
}

function renegotiate(target: FaultTarget, { topology, underlay, segmentation }: FaultSurroundings, bytes: number) {
  const { node, host } = target;
  const before = wireMtu(target);
  const { fabric } = underlay;
  const ends: readonly Sender[] = [
    [fabric, node],
    [host, "eth0"],
  ];
  const undo = allOrNothing((steps) => {
    steps.defer(segmentation.hold());
    steps.defer(() =>
      restoreIpv6(
        host,
        topology.nodes.find(({ name }) => name === node),
      ),
    );
    steps.defer(() => limitPorts(fabric, topology));
    for (const [end, device] of ends) {
      steps.defer(() => end.routes.changeLink(linkIndex(end, device), { mtuBytes: before }));
      end.routes.changeLink(linkIndex(end, device), { mtuBytes: bytes });
    }
    limitPorts(fabric, topology);
  });
  return { description: `${node} eth0 has MTU ${bytes}, ${before} before`, undo };
}

/** Name of the table in the fabric, where `nft list table bridge port-mtu` counts what was too large. */
const PORT_TABLE = "port-mtu";

/**
 * Lets no switch port send what is larger than its MTU, where the ports differ. The kernel alone would: it tolerates four
 * bytes more for a VLAN tag (is_skb_forwardable), and a probe for a wire's MTU would find a size that is not there.
 */
function limitPorts(fabric: LabHost, { options }: Topology): void {
  const ports = fabric.routes.links().filter(({ master }) => master !== undefined);
  const largest = Math.max(...ports.map(({ mtuBytes }) => mtuBytes));
  const limited = ports.filter(({ mtuBytes }) => mtuBytes < largest);
  const table = filterTable(PORT_TABLE, "bridge", "forward", limited.map(limitRule));
  if (ports.every(({ mtuBytes }) => mtuBytes === options.mtuBytes)) removeTable(fabric, table);
  else replaceTable(fabric, table);
}

function limitRule({ name, mtuBytes }: { readonly name: string; readonly mtuBytes: number }): NftRule {
  return {
    statements: [
      { match: "meta oifname", op: "==", value: name },
      { match: "meta length", op: ">", value: mtuBytes },
      { counter: true },
      { verdict: "drop" },
    ],
  };
}

/** Below 1280 bytes the kernel took the node's IPv6 addresses, and the routes with them. */
function restoreIpv6(host: LabHost, node: LabNode | undefined): void {
  const eth0 = host.routes.link("eth0");
  if (node === undefined || eth0 === undefined || eth0.mtuBytes < LEAST_IPV6_MTU_BYTES) return;
  const present = new Set(host.routes.addresses().map(({ address }) => address));
  const missing = node.addresses.filter(({ address }) => !present.has(address));
  if (missing.length === 0) return;
  for (const address of missing) host.routes.addAddress({ index: eth0.index, ...address, noDad: true });
  addDefaultRoutes(
    host,
    "eth0",
    node.gateways.filter((gateway) => gateway.includes(":")),
  );
}
