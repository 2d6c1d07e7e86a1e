/** A switch that drops large frames and tells nobody: a port whose MTU somebody forgot, a tunnel of the provider's. */
import type { NftRule } from "../../model/nft.ts";
import { allOrNothing } from "./all-or-nothing.ts";
import type { FaultKind } from "./fault.ts";
import { filterTable, removeTable, replaceTable } from "./nft-table.ts";
import { sizeParameter } from "./sizes.ts";

export const mtuBlackhole: FaultKind = {
  name: "mtu-blackhole",
  summary: "Switches drop larger IP packets in silence: everywhere, or with --node on that node's port",
  parameters: { bytes: "1450" },
  scope: "cluster",
  teachesPathMtu: true,
  add: async ({ node, everywhere, parameters }, { underlay, segmentation }) => {
    const bytes = sizeParameter(parameters, { remedy: "Say with --size BYTES what the largest IP packet shall be" });
    const rules = everywhere ? [dropLarger(bytes)] : PORT_FIELDS.map((field) => dropLarger(bytes, field, node));
    const name = `mtu-blackhole-${everywhere ? "all" : node}`;
    const table = filterTable(name, "bridge", "forward", rules);
    const undo = allOrNothing((steps) => {
      steps.defer(segmentation.hold());
      replaceTable(underlay.fabric, table);
      steps.defer(() => removeTable(underlay.fabric, table));
    });
    const whose = everywhere ? "" : ` to and from ${node}`;
    return {
      description: `IP packets${whose} of more than ${bytes} bytes vanish in the switches, without ICMP`,
      undo,
    };
  },
};

const PORT_FIELDS = ["meta iifname", "meta oifname"] as const;

/** In the bridge family a packet's length is that of what the Ethernet frame carries: the IP packet's. */
function dropLarger(bytes: number, field?: (typeof PORT_FIELDS)[number], port = ""): NftRule {
  return {
    statements: [
      ...(field === undefined ? [] : [{ match: field, op: "==", value: port } as const]),
      { match: "meta length", op: ">", value: bytes },
      { counter: true },
      { verdict: "drop" },
    ],
  };
}
