/** Elements of sets and maps found as the kernel finds them: by their key, of intervals by the range that holds it. */

import type { NftSet } from "../../model/nft.ts";
import { type Prefix, prefixContains } from "../../model/prefix.ts";

export interface FoundElement {
  /** As it stands in the set. */
  readonly text: string;
  /** Of a map, without the key. */
  readonly data: string;
}

interface Index {
  /** By the whole key; of intervals by all parts but the last, "" for a key of one part. */
  readonly exact: Map<string, FoundElement>;
  readonly ranges: Map<string, { readonly prefix: Prefix; readonly found: FoundElement }[]>;
}

const indexes = new WeakMap<NftSet, Index>();

/** @param key parts of the key, as elements write them */
export function findElement(set: NftSet, key: readonly string[]): FoundElement | undefined {
  const index = indexes.get(set) ?? makeIndex(set);
  if (!set.interval) return index.exact.get(key.join(" . "));
  const last = key.at(-1) ?? "";
  const ranges = index.ranges.get(key.slice(0, -1).join(" . ")) ?? [];
  return ranges.find(({ prefix }) => prefixContains(prefix, last))?.found;
}

function makeIndex(set: NftSet): Index {
  const index: Index = { exact: new Map(), ranges: new Map() };
  for (const text of set.elements) {
    const { key, data } = splitElement(set, text);
    const found = { text, data };
    if (!set.interval) {
      index.exact.set(key, found);
      continue;
    }
    const at = key.lastIndexOf(" . ");
    const [head, range] = at < 0 ? ["", key] : [key.slice(0, at), key.slice(at + 3)];
    const prefix = range.includes("/") ? range : `${range}/${range.includes(":") ? 128 : 32}`;
    index.ranges.set(head, [...(index.ranges.get(head) ?? []), { prefix, found }]);
  }
  indexes.set(set, index);
  return index;
}

function splitElement(set: NftSet, text: string): { key: string; data: string } {
  const at = set.data === undefined ? text.length : text.lastIndexOf(" : ");
  if (at < 0) throw new SyntaxError(`Element "${text}" of map ${set.name} has no data`);
  const key = text.slice(0, at).replace(/ comment "[^"]*"$/, "");
  return { key, data: text.slice(at + 3) };
}
