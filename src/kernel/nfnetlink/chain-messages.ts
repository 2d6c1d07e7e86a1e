/** NFT_MSG_NEWCHAIN in both directions. */
import type { NftBaseChain, NftChain } from "../../model/nft.ts";
import { attributes, message, struct, text, u32be } from "../netlink/codec.ts";
import type { MessageWriter } from "../netlink/message-writer.ts";
import { stringAttribute, u32Attribute } from "./attributes.ts";
import * as c from "./constants.ts";

const nfgen = struct({ family: "u8", version: "u8", resourceId: "u16be" });
const chainMessage = message(
  nfgen,
  attributes({
    table: [1, text],
    name: [3, text],
    hook: [4, attributes({ number: [1, u32be], priority: [2, u32be], device: [3, text] })],
    policy: [5, u32be],
    type: [7, text],
  }),
);

/** Body of the message. */
export function writeChain(w: MessageWriter, table: string, { name, base }: Omit<NftChain, "rules">): void {
  stringAttribute(w, 1, table);
  stringAttribute(w, 3, name);
  if (base === undefined) return;
  const hook = () => {
    u32Attribute(w, 1, c.HOOKS[base.hook]);
    u32Attribute(w, 2, base.priority);
    if (base.device !== undefined) stringAttribute(w, 3, base.device);
  };
  w.attribute(4, hook, true);
  u32Attribute(w, 5, base.policy === "drop" ? c.NF_DROP : c.NF_ACCEPT);
  stringAttribute(w, 7, base.type);
}

export function readChain(payload: Buffer): { table: string; name: string; base?: NftBaseChain } {
  const { table = "", name = "", hook, type, policy } = chainMessage.read(payload).values;
  return { table, name, ...(hook === undefined ? {} : { base: readBase(hook, type, policy) }) };
}

function readBase(
  hook: { number?: number; priority?: number; device?: string },
  type = "filter",
  policy = c.NF_ACCEPT,
): NftBaseChain {
  const names = Object.entries(c.HOOKS).filter(([, number]) => number === hook.number);
  const name = hook.device === undefined ? names[0]?.[0] : "ingress";
  const priority = Buffer.alloc(4);
  priority.writeUInt32BE(hook.priority ?? 0);
  return {
    type: type as NftBaseChain["type"],
    hook: (name ?? "prerouting") as NftBaseChain["hook"],
    priority: priority.readInt32BE(0),
    policy: policy === c.NF_DROP ? "drop" : "accept",
    ...(hook.device === undefined ? {} : { device: hook.device }),
  };
}
