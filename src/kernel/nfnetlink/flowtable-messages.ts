/**
 * Flowtables in the kernel's messages (NFT_MSG_NEWFLOWTABLE and its like, include/uapi/linux/netfilter/nf_tables.h).
 * Devices join an existing flowtable by a second NEWFLOWTABLE, and leave it by a DELFLOWTABLE that names them: Linux 5.8.
 */
import type { NftFlowtable } from "../../model/nft.ts";
import type { NftChange } from "../../model/nft-changes.ts";
import { attributes, listOf, message, struct, text, u32be } from "../netlink/codec.ts";
import type { MessageWriter } from "../netlink/message-writer.ts";
import * as c from "./constants.ts";

const nfgen = struct({ family: "u8", version: "u8", resourceId: "u16be" });
const flowtable = attributes({
  table: [1, text],
  name: [2, text],
  hook: [3, attributes({ number: [1, u32be], priority: [2, u32be], devices: [3, listOf(1, text)] })],
});
export const flowtableMessage = message(nfgen, flowtable);
type FlowtableValues = ReturnType<typeof flowtableMessage.read>["values"];

export type FlowtableChange = Extract<NftChange, { flowtable: unknown }>;

/** The message that makes a change. */
export function flowtableMessageType(change: FlowtableChange): number {
  return change.do === "addFlowtable" ? c.NFT_MSG_NEWFLOWTABLE : c.NFT_MSG_DELFLOWTABLE;
}

/** Body of the message that makes a change. @param table name of the table */
export function writeFlowtableChange(w: MessageWriter, table: string, change: FlowtableChange): void {
  if (change.do === "deleteFlowtable") {
    flowtable.write(w, { table, name: change.flowtable });
    return;
  }
  const { name, priority, devices } = change.flowtable;
  flowtable.write(w, { table, name, hook: { number: c.HOOKS.ingress, priority: priority >>> 0, devices } });
}

export function readFlowtable({ name = "", hook }: FlowtableValues): NftFlowtable {
  return { name, priority: (hook?.priority ?? 0) | 0, devices: [...(hook?.devices ?? [])].sort() };
}
