/** Faults of wires: no carrier, lost packets. */
import { BreakwaterError } from "../../model/errors.ts";
import type { NftRule } from "../../model/nft.ts";
import { linkIndex } from "../underlay/host.ts";
import type { FaultKind } from "./fault.ts";
import { filterTable, withTable } from "./nft-table.ts";

export const linkDown: FaultKind = {
  name: "link-down",
  summary: "The switch port of a node goes down",
  add: async ({ node }, { underlay }) => {
    const port = linkIndex(underlay.fabric, node);
    underlay.fabric.routes.changeLink(port, { up: false });
    return {
      description: `the switch port of ${node} is down`,
      undo: async () => underlay.fabric.routes.changeLink(port, { up: true }),
    };
  },
};

export const loss: FaultKind = {
  name: "loss",
  summary: "The switch loses packets to and from a node at random",
  parameters: { percent: "10" },
  add: async ({ node, parameters }, { underlay }) => {
    const percent = Number(parameters["percent"]);
    if (!Number.isInteger(percent) || percent < 1 || percent > 100) {
      throw new BreakwaterError("BW_USAGE", `A loss of "${parameters["percent"]}" percent is none from 1 to 100`);
    }
    const drop = (field: "meta iifname" | "meta oifname"): NftRule => ({
      statements: [
        { match: field, op: "==", value: node },
        { random: { modulus: 100, below: percent } },
        { counter: true },
        { verdict: "drop" },
      ],
    });
    const table = filterTable(`loss-${node}`, "bridge", "forward", [drop("meta iifname"), drop("meta oifname")]);
    return {
      description: `${percent} % of the packets to and from ${node} are lost in the switch`,
      undo: withTable(underlay.fabric, table),
    };
  },
};
