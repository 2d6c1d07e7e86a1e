/**
 * Elements of nftables sets and maps as the kernel lists them -> text. Of a single key an interval is two elements, its
 * first address and, flagged as an end, the first address behind it; of a concatenated key it is one with two keys.
 * src/kernel/nfnetlink/element-writer.ts goes the other way.
 */
import { type Family, familyBits, ipFromBigInt, ipFromBytes } from "../../model/ip.ts";
import type { NftKeyType, NftSet, NftVerdict } from "../../model/nft.ts";
import { KEY_TYPES, NFT_SET_ELEM_INTERVAL_END, PROTOCOLS } from "./constants.ts";

export interface RawElement {
  readonly key: Uint8Array;
  /** Of a concatenated interval: the last key that belongs to it. */
  readonly end?: Uint8Array | undefined;
  readonly flags: number;
  readonly data?: Uint8Array | undefined;
  readonly verdict?: NftVerdict | undefined;
  readonly comment?: string | undefined;
}

/** All that elements depend on. */
export type SetShape = Pick<NftSet, "key" | "data" | "interval" | "dynamic">;

/** Bytes of a key, or of data, in the kernel's registers: each part is padded to four. */
export function keyBytes(key: NftKeyType | readonly NftKeyType[]): number {
  if (typeof key === "string") return KEY_TYPES[key].bytes;
  return key.reduce((sum, part) => sum + paddedBytes(part), 0);
}

function paddedBytes(part: NftKeyType): number {
  return (KEY_TYPES[part].bytes + 3) & ~3;
}

/** Texts of what the kernel lists, sorted as plans sort them. */
export function elementTexts(set: SetShape, raw: readonly RawElement[]): string[] {
  if (set.interval && typeof set.key === "string") return intervalTexts(set.key, raw);
  return raw.map((element) => elementText(set, element)).sort();
}

function elementText(set: SetShape, { key, end, data, verdict, comment }: RawElement): string {
  const words = [keyText(set, key, end)];
  if (comment !== undefined) words.push(commentText(comment));
  if (verdict !== undefined) words.push(verdictText(verdict));
  else if (data !== undefined) words.push(dataText(set, data, 0));
  return words.length === 1 ? (words[0] as string) : words.join("");
}

export function commentText(comment: string): string {
  return ` comment "${comment}"`;
}

export function verdictText(verdict: NftVerdict): string {
  if (typeof verdict === "string") return ` : ${verdict}`;
  return "goto" in verdict ? ` : goto ${verdict.goto}` : ` : jump ${verdict.jump}`;
}

/** @param at where the data begins in the bytes */
export function dataText(set: SetShape, bytes: Uint8Array, at: number): string {
  return set.data === undefined || set.data === "verdict" ? "" : ` : ${partsText(set.data, bytes, at)}`;
}

function keyText(set: SetShape, key: Uint8Array, end: Uint8Array | undefined): string {
  const text = partsText(set.key, key, 0);
  if (typeof set.key === "string" || !set.interval || end === undefined) return text;
  const type = set.key.at(-1) as NftKeyType;
  const bytes = KEY_TYPES[type].bytes;
  const family = type === "ipv6_addr" ? 6 : 4;
  const range = intervalText(toBigInt(key.subarray(-bytes)), toBigInt(end.subarray(-bytes)), family);
  return text.slice(0, text.lastIndexOf(" . ") + 3) + range;
}

/** A key, or data, that begins at `at`. */
export function partsText(types: NftKeyType | readonly NftKeyType[], bytes: Uint8Array, at: number): string {
  if (typeof types === "string") return partText(types, bytes, at);
  let text = "";
  let offset = at;
  for (const type of types) {
    if (offset > at) text += " . ";
    text += partText(type, bytes, offset);
    offset += paddedBytes(type);
  }
  return text;
}

function partText(type: NftKeyType, bytes: Uint8Array, at: number): string {
  const byte = (i: number) => bytes[at + i] ?? 0;
  if (type === "ipv4_addr") return `${byte(0)}.${byte(1)}.${byte(2)}.${byte(3)}`;
  if (type === "inet_service") return String((byte(0) << 8) | byte(1));
  if (type === "inet_proto") return protocolNames.get(byte(0)) ?? String(byte(0));
  // Host order.
  if (type === "index") return String(((byte(3) << 24) | (byte(2) << 16) | (byte(1) << 8) | byte(0)) >>> 0);
  const own = bytes.subarray(at, at + KEY_TYPES[type].bytes);
  return type === "ipv6_addr" ? ipFromBytes(own) : Buffer.from(own).toString("utf8").replace(/\0.*$/s, "");
}

const protocolNames = new Map<number, string>(Object.entries(PROTOCOLS).map(([name, number]) => [number, name]));

function intervalTexts(key: NftKeyType, raw: readonly RawElement[]): string[] {
  const family: Family = key === "ipv6_addr" ? 6 : 4;
  const bounds = raw.map(({ key: at, flags }) => ({
    at: toBigInt(at),
    end: (flags & NFT_SET_ELEM_INTERVAL_END) !== 0,
  }));
  bounds.sort((a, b) => (a.at === b.at ? Number(b.end) - Number(a.end) : a.at < b.at ? -1 : 1));
  const texts: string[] = [];
  let start: bigint | undefined;
  for (const { at, end } of bounds) {
    if (end && start !== undefined) texts.push(intervalText(start, at - 1n, family));
    start = end ? undefined : at;
  }
  if (start !== undefined) texts.push(intervalText(start, (1n << BigInt(familyBits(family))) - 1n, family));
  return texts.sort();
}

function intervalText(first: bigint, last: bigint, family: Family): string {
  const size = last - first + 1n;
  const hostBits = size.toString(2).length - 1;
  const isPrefix = size === 1n << BigInt(hostBits) && first % size === 0n;
  const start = ipFromBigInt(first, family);
  return isPrefix ? `${start}/${familyBits(family) - hostBits}` : `${start}-${ipFromBigInt(last, family)}`;
}

function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}
