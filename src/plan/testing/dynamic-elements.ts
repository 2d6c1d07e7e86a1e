/** Elements that packets make in dynamic sets and maps, each with its end, on a clock that the test turns. */
import { joinParts, type NftSet, type NftTable } from "../../model/nft.ts";
import type { FoundElement } from "./set-lookup.ts";

interface DynamicElement {
  /** Absent in a set. */
  readonly data: string | undefined;
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

  find(table: Pick<NftTable, "family" | "name">, set: NftSet, key: readonly string[]): FoundElement | undefined {
    const element = this.#sets.get(nameOf(table, set))?.get(joinParts(key));
    if (element === undefined || element.endsAt <= this.now) return undefined;
    return { text: textOf(joinParts(key), element), data: element.data ?? "" };
  }

  /**
   * One that is there keeps its data, and its end moves (nft_dynset_eval). A full set takes no more.
   * @returns whether the element is there then
   */
  update(
    table: Pick<NftTable, "family" | "name">,
    set: NftSet,
    key: readonly string[],
    data: readonly string[] | undefined,
    timeoutSeconds: number,
  ): boolean {
    const name = nameOf(table, set);
    const elements = this.#sets.get(name) ?? new Map<string, DynamicElement>();
    this.#sets.set(name, elements);
    const before = this.find(table, set, key);
    if (before === undefined && elements.size >= (set.dynamic?.size ?? 0)) return false;
    const kept = before?.data ?? (data && joinParts(data));
    elements.set(joinParts(key), { data: data && kept, endsAt: this.now + timeoutSeconds });
    return true;
  }

  /** Texts of those that have not ended, sorted. */
  list(table: Pick<NftTable, "family" | "name">, set: Pick<NftSet, "name">): string[] {
    const elements = [...(this.#sets.get(nameOf(table, set)) ?? [])];
    return elements.flatMap(([key, element]) => (element.endsAt <= this.now ? [] : [textOf(key, element)])).sort();
  }

  delete(table: Pick<NftTable, "family" | "name">, set: Pick<NftSet, "name">, element: string): boolean {
    const [key = ""] = element.split(" : ");
    return this.#sets.get(nameOf(table, set))?.delete(key) === true;
  }
}

function textOf(key: string, { data }: DynamicElement): string {
  return data === undefined ? key : `${key} : ${data}`;
}

function nameOf(table: Pick<NftTable, "family" | "name">, set: Pick<NftSet, "name">): string {
  return `${table.family} ${table.name} ${set.name}`;
}
