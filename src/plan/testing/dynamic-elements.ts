/** Elements that packets make in dynamic sets and maps, each with its end, on a clock that the test turns. */
import { joinParts, type NftSet, type NftTable } from "../../model/nft.ts";
import type { FoundElement } from "./set-lookup.ts";

interface DynamicElement {
  readonly data: string;
  readonly endsAt: number;
}

export class DynamicElements {
  readonly #sets = new Map<string, Map<string, DynamicElement>>();
  /** Seconds from an arbitrary start. */
  now = 0;

  copy(): DynamicElements {
    const copy = new DynamicElements();
    copy.now = this.now;
    for (const [name, elements] of this.#sets) copy.#sets.set(name, new Map(elements));
    return copy;
  }

  find(table: NftTable, set: NftSet, key: readonly string[]): FoundElement | undefined {
    const element = this.#sets.get(nameOf(table, set))?.get(joinParts(key));
    if (element === undefined || element.endsAt <= this.now) return undefined;
    return { text: `${joinParts(key)} : ${element.data}`, data: element.data };
  }

  /** One that is there keeps its data, and its end moves (nft_dynset_eval). A full set takes no more. */
  update(table: NftTable, set: NftSet, key: readonly string[], data: readonly string[], timeoutSeconds: number): void {
    const name = nameOf(table, set);
    const elements = this.#sets.get(name) ?? new Map<string, DynamicElement>();
    this.#sets.set(name, elements);
    const before = this.find(table, set, key);
    if (before === undefined && elements.size >= (set.dynamic?.size ?? 0)) return;
    elements.set(joinParts(key), { data: before?.data ?? joinParts(data), endsAt: this.now + timeoutSeconds });
  }

  /** Texts of those that have not ended, sorted. */
  list(table: Pick<NftTable, "family" | "name">, set: Pick<NftSet, "name">): string[] {
    const elements = [...(this.#sets.get(nameOf(table, set)) ?? [])];
    return elements.flatMap(([key, { data, endsAt }]) => (endsAt <= this.now ? [] : [`${key} : ${data}`])).sort();
  }

  delete(table: Pick<NftTable, "family" | "name">, set: Pick<NftSet, "name">, element: string): boolean {
    return this.#sets.get(nameOf(table, set))?.delete(element.slice(0, element.lastIndexOf(" : "))) === true;
  }
}

function nameOf(table: Pick<NftTable, "family" | "name">, set: Pick<NftSet, "name">): string {
  return `${table.family} ${table.name} ${set.name}`;
}
