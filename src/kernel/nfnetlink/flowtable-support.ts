/** Asks a kernel whether it has flowtables, by making one: no list of its features says so. */
import { isBreakwaterError } from "../../model/errors.ts";
import type { Nftables, NftChange } from "./types.ts";

const PROBE_TABLE = { family: "inet", name: "breakwater-probe" } as const;
const FLOWTABLE = { name: "probe", priority: 0, devices: [] };
/** Both halves: the flowtable (CONFIG_NF_FLOW_TABLE_INET) and the statement (CONFIG_NFT_FLOW_OFFLOAD). */
const PROBE: readonly NftChange[] = [
  { do: "addTable" },
  { do: "addFlowtable", flowtable: FLOWTABLE },
  { do: "addChain", chain: { name: "probe" } },
  { do: "addRule", chain: "probe", rule: { statements: [{ flowAdd: FLOWTABLE.name }] } },
  { do: "deleteTable" },
];

/**
 * One transaction that makes all of it and deletes it again: nobody sees it, and the kernel loads the modules.
 *
 * @throws BreakwaterError BW_NFTABLES when the kernel refuses for another reason
 */
export function hasFlowtables(nftables: Pick<Nftables, "commit">): boolean {
  try {
    nftables.commit(PROBE_TABLE, PROBE);
    return true;
  } catch (error) {
    // nft_flowtable_type_get() and nft_expr_type_get() find no module; EOPNOTSUPP before Linux 4.16.
    if (isBreakwaterError(error, "BW_NFTABLES") && ["ENOENT", "EOPNOTSUPP"].includes(error.errno ?? "")) return false;
    throw error;
  }
}
