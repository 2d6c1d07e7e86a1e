/** Counters of rules, out of the rules as the kernel lists them. */
import type { ObservedCounter } from "../../model/nft-changes.ts";
import { attributes, listOf, message, struct, text, u64be } from "../netlink/codec.ts";
import type { NetlinkMessage } from "../netlink/socket.ts";

const nfgen = struct({ family: "u8", version: "u8", resourceId: "u16be" });
/** The data of other expressions reads as what it is not: the name decides. */
const expression = attributes({ name: [1, text], data: [2, attributes({ bytes: [1, u64be], packets: [2, u64be] })] });
const ruleMessage = message(
  nfgen,
  attributes({ table: [1, text], chain: [2, text], handle: [3, u64be], expressions: [4, listOf(1, expression)] }),
);

/** The counters of one rule of a NFT_MSG_GETRULE dump; none of rules of other tables and chains. */
export function readCounters({ payload }: NetlinkMessage, table: string, chain: string): ObservedCounter[] {
  const { values } = ruleMessage.read(payload);
  if (values.table !== table || values.chain !== chain) return [];
  return (values.expressions ?? [])
    .filter(({ name }) => name === "counter")
    .map(({ data }) => ({
      chain,
      handle: values.handle ?? 0n,
      packets: data?.packets ?? 0n,
      bytes: data?.bytes ?? 0n,
    }));
}
