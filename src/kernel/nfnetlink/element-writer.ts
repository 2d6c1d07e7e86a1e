/**
 * Texts of elements -> attributes, straight into the message: all Services of a cluster are a hundred thousand elements.
 * What src/kernel/nfnetlink/set-elements.ts reads back is what was written here.
 */
import { familyBits, type Ip, ipBytes, ipFromBigInt, ipv4ToNumber } from "../../model/ip.ts";
import type { NftKeyType, NftVerdict } from "../../model/nft.ts";
import { prefixRange } from "../../model/prefix.ts";
import type { MessageWriter } from "../netlink/message-writer.ts";
import { u32Attribute, u64Attribute } from "./attributes.ts";
import { KEY_TYPES, NFT_SET_ELEM_INTERVAL_END, PROTOCOLS } from "./constants.ts";
import { verdictData } from "./expressions.ts";
import type { SetShape } from "./set-elements.ts";

/** Attributes of an element: enum nft_set_elem_attributes. */
export const ELEM_KEY = 1;
export const ELEM_DATA = 2;
const ELEM_FLAGS = 3;
const ELEM_TIMEOUT = 4;
const ELEM_EXPIRATION = 5;
export const ELEM_USERDATA = 6;
const ELEM_KEY_END = 10;
/** NFTA_LIST_ELEM, and NFTA_DATA_VALUE in a key or in data. */
export const LIST_ELEM = 1;
const DATA_VALUE = 1;
/** TLV type of a comment inside NFTA_SET_ELEM_USERDATA (NFTNL_UDATA_SET_ELEM_COMMENT). */
export const UDATA_ELEM_COMMENT = 0;
/** NFTNL_UDATA_COMMENT_MAXLEN of libnftnl, without the NUL. */
const MAX_COMMENT_BYTES = 127;
const COMMENT = ' comment "';
const TIMEOUT = " timeout ";
const [DATA, PART] = [" : ", " . "];
const ZERO = "0".charCodeAt(0);

/**
 * Writes the element as one or two members of a list. @param keysOnly what a deletion needs
 * @throws SyntaxError naming a text that is no element of such a set
 */
export function writeElement(w: MessageWriter, set: SetShape, text: string, keysOnly: boolean): void {
  if (set.interval) {
    writeInterval(w, set.key, text);
    return;
  }
  if (set.dynamic !== undefined && set.data === undefined) {
    writeTimed(w, set, text, keysOnly);
    return;
  }
  const dataAt = set.data === undefined ? text.length : findData(text);
  const commentAt = text.indexOf(COMMENT);
  const hasComment = commentAt >= 0 && commentAt < dataAt;
  const element = w.openAttribute(LIST_ELEM, true);
  writeParts(w, ELEM_KEY, set.key, text, 0, hasComment ? commentAt : dataAt);
  if (!keysOnly) {
    if (set.data !== undefined) writeData(w, set.data, text, dataAt + DATA.length);
    if (hasComment) writeComment(w, text.slice(commentAt + COMMENT.length, dataAt - 1));
  }
  w.closeAttribute(element);
}

/** A set of what packets make: an element ends after its timeout. */
function writeTimed(w: MessageWriter, set: SetShape, text: string, keysOnly: boolean): void {
  const found = text.indexOf(TIMEOUT);
  const keyEnd = found < 0 ? text.length : found;
  const element = w.openAttribute(LIST_ELEM, true);
  writeParts(w, ELEM_KEY, set.key, text, 0, keyEnd);
  if (!keysOnly && found >= 0) {
    const [, timeout, left] = /^(\d+)ms(?: expires (\d+)ms)?$/.exec(text.slice(found + TIMEOUT.length)) ?? [];
    if (timeout === undefined) throw new SyntaxError(`Cannot read "${text}": it does not end like "timeout 4300ms"`);
    u64Attribute(w, ELEM_TIMEOUT, BigInt(timeout));
    if (left !== undefined) u64Attribute(w, ELEM_EXPIRATION, BigInt(left));
  }
  w.closeAttribute(element);
}

/** Of a concatenation only the last part may be a prefix: the others begin and end with the same value. */
function writeInterval(w: MessageWriter, types: SetShape["key"], text: string): void {
  if (typeof types === "string") {
    const { first, behind } = rangeOf(text);
    writeBound(w, types, first, 0);
    // Nothing follows the last address of all: such an interval stays open.
    if (behind !== undefined) writeBound(w, types, behind, NFT_SET_ELEM_INTERVAL_END);
    return;
  }
  const lastAt = text.lastIndexOf(PART) + PART.length;
  const { first, last } = rangeOf(text.slice(lastAt));
  const element = w.openAttribute(LIST_ELEM, true);
  for (const [attribute, address] of [
    [ELEM_KEY, first],
    [ELEM_KEY_END, last],
  ] as const) {
    const key = text.slice(0, lastAt) + address;
    writeParts(w, attribute, types, key, 0, key.length);
  }
  w.closeAttribute(element);
}

function writeBound(w: MessageWriter, type: NftKeyType, address: Ip, flags: number): void {
  const element = w.openAttribute(LIST_ELEM, true);
  writeParts(w, ELEM_KEY, type, address, 0, address.length);
  if (flags !== 0) u32Attribute(w, ELEM_FLAGS, flags);
  w.closeAttribute(element);
}

interface AddressRange {
  readonly first: Ip;
  readonly last: Ip;
  /** The address that follows the last one. */
  readonly behind: Ip | undefined;
}

function rangeOf(text: string): AddressRange {
  const { family, first, last } = prefixRange(text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`);
  const isOpen = last + 1n === 1n << BigInt(familyBits(family));
  return {
    first: ipFromBigInt(first, family),
    last: ipFromBigInt(last, family),
    behind: isOpen ? undefined : ipFromBigInt(last + 1n, family),
  };
}

function findData(text: string): number {
  const at = text.lastIndexOf(DATA);
  if (at < 0) throw new SyntaxError(`Cannot read map element "${text}": it has no data`);
  return at;
}

function writeData(w: MessageWriter, types: NonNullable<SetShape["data"]>, text: string, from: number): void {
  if (types === "verdict") verdictData(w, parseVerdict(text.slice(from)));
  else writeParts(w, ELEM_DATA, types, text, from, text.length);
}

/** The parts between `from` and `to`, each padded to the kernel's registers of four bytes; one alone is not. */
function writeParts(
  w: MessageWriter,
  attribute: number,
  types: NftKeyType | readonly NftKeyType[],
  text: string,
  from: number,
  to: number,
): void {
  const outer = w.openAttribute(attribute, true);
  const value = w.openAttribute(DATA_VALUE);
  if (typeof types === "string") writePart(w, types, text.slice(from, to));
  else {
    let at = from;
    for (let i = 0; i < types.length; i++) {
      const isLast = i + 1 === types.length;
      const end = isLast ? to : text.indexOf(PART, at);
      if (end < at || end > to) throw new SyntaxError(`Cannot read "${text.slice(from, to)}" as ${types.join(PART)}`);
      writePart(w, types[i] as NftKeyType, text.slice(at, end));
      w.align();
      at = end + PART.length;
    }
  }
  w.closeAttribute(value);
  w.closeAttribute(outer);
}

function writePart(w: MessageWriter, type: NftKeyType, text: string): void {
  if (type === "ipv4_addr") w.u32be(ipv4ToNumber(text));
  else if (type === "inet_service") w.u16be(integer(text));
  else if (type === "inet_proto") w.u8(PROTOCOLS[text as keyof typeof PROTOCOLS] ?? integer(text));
  else if (type === "index") w.u32(integer(text));
  else if (type === "ipv6_addr") w.raw(ipBytes(text));
  else {
    const name = Buffer.alloc(KEY_TYPES.ifname.bytes);
    name.write(text);
    w.raw(name);
  }
}

function integer(text: string): number {
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9) throw new SyntaxError(`Cannot read number "${text}"`);
    value = value * 10 + digit;
  }
  if (text === "") throw new SyntaxError("Cannot read a number from nothing");
  return value;
}

function parseVerdict(text: string): NftVerdict {
  if (text === "accept" || text === "drop" || text === "return") return text;
  if (text.startsWith("goto ")) return { goto: text.slice(5) };
  if (text.startsWith("jump ")) return { jump: text.slice(5) };
  throw new SyntaxError(`Cannot read verdict "${text}"`);
}

function writeComment(w: MessageWriter, comment: string): void {
  const bytes = Buffer.from(comment).subarray(0, MAX_COMMENT_BYTES);
  const start = w.openAttribute(ELEM_USERDATA);
  w.u8(UDATA_ELEM_COMMENT);
  w.u8(bytes.length + 1);
  w.raw(bytes);
  w.u8(0);
  w.closeAttribute(start);
}
