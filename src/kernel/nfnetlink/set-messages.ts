/** NFT_MSG_NEWSET and NFT_MSG_NEWSETELEM in both directions: sets and maps with their elements. */
import type { NftKeyType, NftSet, NftVerdict } from "../../model/nft.ts";
import { attributes, bytes, listOf, message, struct, text, u32be } from "../netlink/codec.ts";
import type { MessageWriter } from "../netlink/message-writer.ts";
import { stringAttribute, u32Attribute } from "./attributes.ts";
import * as c from "./constants.ts";
import { UDATA_ELEM_COMMENT, writeElement } from "./element-writer.ts";
import { keyBytes, type RawElement, type SetShape } from "./set-elements.ts";
import { setUserdata } from "./set-userdata.ts";

const nfgen = struct({ family: "u8", version: "u8", resourceId: "u16be" });

/** Nested attributes have 16-bit lengths: an element list is split well below 64 KiB. */
const MAX_LIST_BYTES = 48_000;

export const setMessage = message(
  nfgen,
  attributes({
    table: [1, text],
    name: [2, text],
    flags: [3, u32be],
    keyType: [4, u32be],
    dataType: [6, u32be],
    description: [9, attributes({ size: [1, u32be] })],
    expression: [17, bytes],
  }),
);
type SetValues = ReturnType<typeof setMessage.read>["values"];

const data = attributes({
  value: [1, bytes],
  verdict: [2, attributes({ code: [1, u32be], chain: [2, text] })],
});
const setElement = attributes({
  key: [1, data],
  data: [2, data],
  flags: [3, u32be],
  userdata: [6, bytes],
  end: [10, data],
});
export const elementsMessage = message(
  nfgen,
  attributes({ table: [1, text], set: [2, text], elements: [3, listOf(1, setElement)] }),
);
export type ElementValues = ReturnType<typeof setElement.read>;

/** Body of NFT_MSG_NEWSET behind the table's name. @param id names the set inside the transaction */
export function writeSet(w: MessageWriter, set: NftSet, id: number): void {
  const isConcatenated = typeof set.key !== "string";
  stringAttribute(w, 2, set.name);
  u32Attribute(w, 3, setFlags(set));
  u32Attribute(w, 4, typeNumber(set.key));
  u32Attribute(w, 5, keyBytes(set.key));
  if (set.data === "verdict") u32Attribute(w, 6, c.NFT_DATA_VERDICT);
  else if (set.data !== undefined) {
    u32Attribute(w, 6, typeNumber(set.data));
    u32Attribute(w, 7, keyBytes(set.data));
  }
  if (set.dynamic !== undefined || (isConcatenated && set.interval)) writeDescription(w, set);
  u32Attribute(w, 10, id);
  const userdata = setUserdata(set);
  if (userdata !== undefined) w.attribute(13, () => w.raw(userdata));
  if (set.counter === true) w.attribute(17, () => stringAttribute(w, 1, "counter"), true);
}

function setFlags(set: NftSet): number {
  const isConcatenated = typeof set.key !== "string";
  return (
    (set.interval ? c.NFT_SET_INTERVAL : 0) |
    (set.interval && isConcatenated ? c.NFT_SET_CONCAT : 0) |
    (set.data === undefined ? 0 : c.NFT_SET_MAP) |
    (set.dynamic === undefined ? 0 : c.NFT_SET_TIMEOUT | c.NFT_SET_EVAL)
  );
}

/** The parts of a concatenated interval have to be told apart; a set that packets fill has to end somewhere. */
function writeDescription(w: MessageWriter, set: NftSet): void {
  const body = () => {
    if (set.dynamic !== undefined) u32Attribute(w, 1, set.dynamic.size);
    const { key } = set;
    if (typeof key === "string" || !set.interval) return;
    const fields = () => {
      for (const part of key) w.attribute(1, () => u32Attribute(w, 1, keyBytes(part)), true);
    };
    w.attribute(2, fields, true);
  };
  w.attribute(9, body, true);
}

function typeNumber(type: NftKeyType | readonly NftKeyType[]): number {
  if (typeof type === "string") return c.KEY_TYPES[type].type;
  return type.reduce((number, part) => (number << c.TYPE_BITS) | c.KEY_TYPES[part].type, 0);
}

const typeNames = new Map<number, NftKeyType>(
  Object.entries(c.KEY_TYPES).map(([name, { type }]) => [type, name as NftKeyType]),
);

function typesOf(number: number | undefined): NftKeyType | readonly NftKeyType[] {
  const names: NftKeyType[] = [];
  const mask = (1 << c.TYPE_BITS) - 1;
  for (let rest = number ?? 0; rest > 0; rest >>>= c.TYPE_BITS) names.unshift(typeNames.get(rest & mask) ?? "index");
  const [only] = names;
  return names.length === 1 && only !== undefined ? only : names;
}

/** A set as the kernel describes it, without its elements. */
export function readSet(values: SetValues): Omit<NftSet, "comment" | "elements"> {
  const flags = values.flags ?? 0;
  const dataType = values.dataType;
  const isMap = (flags & c.NFT_SET_MAP) !== 0;
  const parts = typesOf(dataType);
  const type = dataType === c.NFT_DATA_VERDICT ? "verdict" : typeof parts === "string" ? [parts] : parts;
  return {
    name: values.name ?? "",
    key: typesOf(values.keyType),
    interval: (flags & c.NFT_SET_INTERVAL) !== 0,
    ...(isMap ? { data: type } : {}),
    ...((flags & c.NFT_SET_EVAL) === 0 ? {} : { dynamic: { size: values.description?.size ?? 0 } }),
    ...(values.expression === undefined ? {} : { counter: true }),
  };
}

/**
 * Writes the list of elements (NFTA_SET_ELEM_LIST_ELEMENTS) from one index on, as many as fit a message.
 * @param keysOnly what a deletion needs
 * @returns the index of the first that did not fit
 */
export function writeElements(
  w: MessageWriter,
  set: SetShape,
  elements: readonly string[],
  from: number,
  keysOnly: boolean,
): number {
  const start = w.length;
  let next = from;
  const list = () => {
    do {
      writeElement(w, set, elements[next] as string, keysOnly);
      next++;
    } while (next < elements.length && w.length - start < MAX_LIST_BYTES);
  };
  w.attribute(3, list, true);
  return next;
}

export function readElement(values: ElementValues): RawElement {
  const { key, end, flags, userdata } = values;
  return {
    key: key?.value ?? new Uint8Array(),
    end: end?.value,
    flags: flags ?? 0,
    data: values.data?.value,
    verdict: readVerdict(values.data?.verdict),
    comment: readComment(userdata),
  };
}

export function readVerdict(verdict: { code?: number; chain?: string } | undefined): NftVerdict | undefined {
  if (verdict?.code === undefined) return undefined;
  const chain = verdict.chain ?? "";
  switch (verdict.code | 0) {
    case c.NFT_JUMP:
      return { jump: chain };
    case c.NFT_GOTO:
      return { goto: chain };
    case c.NFT_RETURN:
      return "return";
    case c.NF_DROP:
      return "drop";
    default:
      return "accept";
  }
}

export function readComment(userdata: Uint8Array | undefined): string | undefined {
  if (userdata === undefined || userdata[0] !== UDATA_ELEM_COMMENT) return undefined;
  return Buffer.from(userdata.subarray(2, 1 + (userdata[1] ?? 0))).toString("utf8");
}
