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
export type SetShape = Pick<NftSet, "key" | "data" | "interval">;

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
  if (comment !== undefined) words.push(` comment "${comment}"`);
  if (verdict !== undefined) words.push(` : ${verdictText(verdict)}`);
  else if (data !== undefined && set.data !== undefined && set.data !== "verdict") {
    words.push(` : ${concatTexts(set.data, data).join(" . ")}`);
  }
  return words.length === 1 ? (words[0] as string) : words.join("");
}

function keyText(set: SetShape, key: Uint8Array, end: Uint8Array | undefined): string {
  if (typeof set.key === "string") return partText(set.key, key);
  const parts = concatTexts(set.key, key);
  const last = parts.length - 1;
  const type = set.key[last];
  if (!set.interval || end === undefined || type === undefined) return parts.join(" . ");
  const bytes = KEY_TYPES[type].bytes;
  const family = type === "ipv6_addr" ? 6 : 4;
  parts[last] = intervalText(toBigInt(key.subarray(-bytes)), toBigInt(end.subarray(-bytes)), family);
  return parts.join(" . ");
}

function concatTexts(types: readonly NftKeyType[], data: Uint8Array): string[] {
  let offset = 0;
  return types.map((type) => {
    const text = partText(type, data.subarray(offset, offset + KEY_TYPES[type].bytes));
    offset += paddedBytes(type);
    return text;
  });
}

function verdictText(verdict: NftVerdict): string {
  if (typeof verdict === "string") return verdict;
  return "goto" in verdict ? `goto ${verdict.goto}` : `jump ${verdict.jump}`;
}

function partText(type: NftKeyType, data: Uint8Array): string {
  if (type === "ipv4_addr" || type === "ipv6_addr") return ipFromBytes(data);
  if (type === "inet_proto") return protocolNames.get(data[0] ?? 0) ?? String(data[0]);
  if (type === "inet_service") return String(((data[0] ?? 0) << 8) | (data[1] ?? 0));
  const buffer = Buffer.from(data);
  return type === "ifname" ? buffer.toString("utf8").replace(/\0.*$/s, "") : String(buffer.readUInt32LE(0));
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
