/** Asks a kernel whether rules can log to nflog with a limit, by making one: it may listen to nflog and lack the rest. */
import { isBreakwaterError } from "../../model/errors.ts";
import type { Nftables, NftChange } from "./types.ts";

const PROBE_TABLE = { family: "inet", name: "breakwater-probe" } as const;
/** CONFIG_NFT_LIMIT, CONFIG_NFT_LOG, and CONFIG_NETFILTER_NETLINK_LOG behind it for both families. */
const PROBE: readonly NftChange[] = [
  { do: "addTable" },
  { do: "addChain", chain: { name: "probe" } },
  {
    do: "addRule",
    chain: "probe",
    rule: { statements: [{ limit: { perSecond: 1, burst: 1 } }, { log: { prefix: "probe", group: 0, snaplen: 1 } }] },
  },
  { do: "deleteTable" },
];

/**
 * One transaction that makes all of it and deletes it again: nobody sees it, and the kernel loads the modules.
 *
 * @throws BreakwaterError BW_NFTABLES when the kernel refuses for another reason
 */
export function rulesCanLog(nftables: Pick<Nftables, "commit">): boolean {
  try {
    nftables.commit(PROBE_TABLE, PROBE);
    return true;
  } catch (error) {
    // nft_expr_type_get() and nf_logger_find_get() find no module.
    if (isBreakwaterError(error) && ["ENOENT", "EOPNOTSUPP"].includes(error.errno ?? "")) return false;
    throw error;
  }
}
