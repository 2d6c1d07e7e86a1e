/**
 * Elements of nftables sets: text <-> key bytes. In an interval set a prefix is two elements, its first address and,
 * flagged as an end, the first address behind it.
 */
import { type Family, familyBits, ipBytes, ipFromBigInt, ipFromBytes } from "../../model/ip.ts";
import type { NftSet } from "../../model/nft.ts";
import { prefixRange } from "../../model/prefix.ts";
import { KEY_TYPES, NFT_SET_ELEM_INTERVAL_END } from "./constants.ts";

export interface RawElement {
  readonly key: Uint8Array;
  readonly flags: number;
}

/** Kernel elements of one element text. */
export function rawElements(set: Pick<NftSet, "key" | "interval">, element: string): RawElement[] {
  if (!set.interval) return [{ key: singleKey(set.key, element), flags: 0 }];
  const text = element.includes("/") ? element : `${element}/${element.includes(":") ? 128 : 32}`;
  const { family, first, last } = prefixRange(text);
  const start = { key: ipBytes(ipFromBigInt(first, family)), flags: 0 };
  // Nothing follows the last address of all: such an interval stays open.
  if (last + 1n === 1n << BigInt(familyBits(family))) return [start];
  return [start, { key: ipBytes(ipFromBigInt(last + 1n, family)), flags: NFT_SET_ELEM_INTERVAL_END }];
}

function singleKey(key: NftSet["key"], element: string): Uint8Array {
  const { bytes } = KEY_TYPES[key];
  if (key === "ipv4_addr" || key === "ipv6_addr") return ipBytes(element);
  const data = Buffer.alloc(bytes);
  if (key === "ifname") data.write(element);
  else data.writeUIntBE(Number(element), 0, bytes);
  return data;
}

/** Texts of what the kernel lists, sorted as plans sort them. */
export function elementTexts(set: Pick<NftSet, "key" | "interval">, raw: readonly RawElement[]): string[] {
  if (!set.interval) return raw.map(({ key }) => singleText(set.key, key)).sort();
  const family: Family = set.key === "ipv6_addr" ? 6 : 4;
  const bounds = raw.map(({ key, flags }) => ({ at: toBigInt(key), end: (flags & NFT_SET_ELEM_INTERVAL_END) !== 0 }));
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

function singleText(key: NftSet["key"], data: Uint8Array): string {
  if (key === "ipv4_addr" || key === "ipv6_addr") return ipFromBytes(data);
  const buffer = Buffer.from(data);
  return key === "ifname" ? buffer.toString("utf8").replace(/\0.*$/s, "") : String(buffer.readUIntBE(0, data.length));
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
