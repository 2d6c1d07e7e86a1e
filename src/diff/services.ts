/**
 * Steps that bring a frontend's elements from what the kernel has to what is wanted: as few as possible. Endpoints keep
 * their slots, new ones take those that are free, and slots behind the last one are deleted in a later transaction: a
 * packet that has read the old number of endpoints must find its slot.
 */
import type { Frontend } from "../model/frontend.ts";
import type { NftSet } from "../model/nft.ts";
import type { NftChange } from "../model/nft-changes.ts";
import {
  type FrontendElements,
  frontendElements,
  mapEndpoints,
  SINGLE_SETS,
  type SingleSet,
} from "../plan/services/elements.ts";
import { slotElement } from "../plan/services/table.ts";

/** What the kernel holds of one frontend. A slot that holds nothing is undefined. */
export interface ObservedFrontend {
  readonly single: Readonly<Partial<Record<SingleSet, string>>>;
  readonly ranges: readonly string[];
  readonly endpoints: readonly (string | undefined)[];
  readonly outsideEndpoints: readonly (string | undefined)[];
  /** Slots so far behind that somebody else must have put them there. */
  readonly strays?: readonly StrayElement[];
}

interface StrayElement {
  readonly set: "endpoints" | "outside-endpoints";
  readonly element: string;
}

/** More endpoints than any frontend has. */
const MAX_SLOTS = 1 << 17;

const NOTHING: ObservedFrontend = { single: {}, ranges: [], endpoints: [], outsideEndpoints: [] };

/** Elements that go and come, by set; one transaction. */
export class ElementBatch {
  readonly #deleted = new Map<string, string[]>();
  readonly #added = new Map<string, string[]>();

  delete(set: string, element: string): void {
    append(this.#deleted, set, element);
  }

  add(set: string, element: string): void {
    append(this.#added, set, element);
  }

  get isEmpty(): boolean {
    return this.#deleted.size === 0 && this.#added.size === 0;
  }

  /** Elements in all. */
  get size(): number {
    let size = 0;
    for (const elements of [...this.#deleted.values(), ...this.#added.values()]) size += elements.length;
    return size;
  }

  /** An element whose data changes is deleted and added: what goes comes first. */
  changes(sets: ReadonlyMap<string, NftSet>): NftChange[] {
    const changes: NftChange[] = [];
    const push = (what: "addElements" | "deleteElements", all: ReadonlyMap<string, readonly string[]>) => {
      for (const [name, elements] of all) {
        const set = sets.get(name);
        if (set !== undefined) changes.push({ do: what, set, elements });
      }
    };
    push("deleteElements", this.#deleted);
    push("addElements", this.#added);
    return changes;
  }
}

function append(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/**
 * Adds to `batch` what turns `observed` into `wanted`, but for the slots that are left over.
 * @returns what the kernel has then; undefined when that is nothing
 */
export function changeFrontend(
  key: string,
  observed: ObservedFrontend | undefined,
  wanted: Frontend | undefined,
  batch: ElementBatch,
): ObservedFrontend | undefined {
  const before = observed ?? NOTHING;
  const after: FrontendElements | undefined = wanted && frontendElements(wanted);
  for (const set of SINGLE_SETS) replaceOne(batch, set, before.single[set], after?.single[set]);
  replaceMany(batch, "source-ranges", before.ranges, after?.ranges ?? []);
  for (const { set, element } of before.strays ?? []) batch.delete(set, element);
  const endpoints = fillSlots(batch, "endpoints", key, before.endpoints, after?.endpoints ?? []);
  const outsideEndpoints = fillSlots(
    batch,
    "outside-endpoints",
    key,
    before.outsideEndpoints,
    after?.outsideEndpoints ?? [],
  );
  if (after === undefined && endpoints.length === 0 && outsideEndpoints.length === 0) return undefined;
  return { single: after?.single ?? {}, ranges: after?.ranges ?? [], endpoints, outsideEndpoints };
}

/** Adds to `batch` the deletion of slots that no packet reads any more. @returns what the kernel has then */
export function sweepFrontend(
  key: string,
  observed: ObservedFrontend,
  wanted: Frontend | undefined,
  batch: ElementBatch,
): ObservedFrontend | undefined {
  const endpoints = cutSlots(batch, "endpoints", key, observed.endpoints, slotsOf(wanted));
  const outside = cutSlots(batch, "outside-endpoints", key, observed.outsideEndpoints, wanted?.outside?.length ?? 0);
  if (wanted === undefined && endpoints.length === 0 && outside.length === 0) return undefined;
  return { ...observed, endpoints, outsideEndpoints: outside };
}

/** True when slots are left over. */
export function hasLeftovers(observed: ObservedFrontend, wanted: Frontend | undefined): boolean {
  return (
    observed.endpoints.length > slotsOf(wanted) || observed.outsideEndpoints.length > (wanted?.outside?.length ?? 0)
  );
}

function slotsOf(wanted: Frontend | undefined): number {
  return wanted === undefined ? 0 : mapEndpoints(wanted).length;
}

function replaceOne(batch: ElementBatch, set: string, before: string | undefined, after: string | undefined): void {
  if (before === after) return;
  if (before !== undefined) batch.delete(set, before);
  if (after !== undefined) batch.add(set, after);
}

function replaceMany(batch: ElementBatch, set: string, before: readonly string[], after: readonly string[]): void {
  if (before.length === 0 && after.length === 0) return;
  for (const element of before) if (!after.includes(element)) batch.delete(set, element);
  for (const element of after) if (!before.includes(element)) batch.add(set, element);
}

/** Those that are wanted stay where they are; the others' slots go to those that have none yet, in order. */
function fillSlots(
  batch: ElementBatch,
  set: string,
  key: string,
  before: readonly (string | undefined)[],
  wanted: readonly string[],
): readonly (string | undefined)[] {
  // The plan's own list: what was read from the kernel are other texts, and takes memory of its own.
  if (isSame(before, wanted)) return wanted;
  const missing = new Set(wanted);
  const slots: (string | undefined)[] = before.map((endpoint, i) =>
    i < wanted.length && endpoint !== undefined && missing.delete(endpoint) ? endpoint : undefined,
  );
  const fresh = missing.values();
  for (let i = 0; i < Math.max(before.length, wanted.length); i++) {
    const old = before[i];
    // Left over: it stays until the sweep.
    if (i >= wanted.length) slots[i] = old;
    if (i >= wanted.length || slots[i] !== undefined) continue;
    const endpoint = fresh.next().value as string;
    if (old !== undefined) batch.delete(set, slotElement(key, i, old));
    batch.add(set, slotElement(key, i, endpoint));
    slots[i] = endpoint;
  }
  return isSame(slots, wanted) ? wanted : slots;
}

function isSame(slots: readonly (string | undefined)[], wanted: readonly string[]): boolean {
  return slots.length === wanted.length && slots.every((endpoint, i) => endpoint === wanted[i]);
}

function cutSlots(
  batch: ElementBatch,
  set: string,
  key: string,
  slots: readonly (string | undefined)[],
  length: number,
): readonly (string | undefined)[] {
  if (slots.length <= length) return slots;
  for (let i = length; i < slots.length; i++) {
    const endpoint = slots[i];
    if (endpoint !== undefined) batch.delete(set, slotElement(key, i, endpoint));
  }
  return slots.slice(0, length);
}

/** Sorts the elements of a table that was read by the frontends they belong to. */
export function observeFrontends(sets: readonly Pick<NftSet, "name" | "elements">[]): Map<string, ObservedFrontend> {
  const found = new Map<string, MutableFrontend>();
  const of = (key: string): MutableFrontend => {
    const frontend = found.get(key) ?? { single: {}, ranges: [], endpoints: [], outsideEndpoints: [] };
    found.set(key, frontend);
    return frontend;
  };
  for (const { name, elements } of sets) {
    if (isSingle(name)) for (const element of elements) of(keyOf(element)).single[name] = element;
    else if (name === "source-ranges") {
      for (const element of elements) of(element.slice(0, element.lastIndexOf(" . "))).ranges.push(element);
    } else if (name === "endpoints" || name === "outside-endpoints") {
      for (const element of elements) putSlot(of, name, element);
    }
  }
  return found;
}

interface MutableFrontend {
  single: Partial<Record<SingleSet, string>>;
  ranges: string[];
  endpoints: (string | undefined)[];
  outsideEndpoints: (string | undefined)[];
  strays?: StrayElement[];
}

function putSlot(of: (key: string) => MutableFrontend, set: StrayElement["set"], element: string): void {
  const { key, slot, data } = parseSlot(element);
  const frontend = of(key);
  if (slot >= MAX_SLOTS) {
    frontend.strays = [...(frontend.strays ?? []), { set, element }];
    return;
  }
  const slots = set === "endpoints" ? frontend.endpoints : frontend.outsideEndpoints;
  // No holes: what walks over an array passes over those.
  while (slots.length < slot) slots.push(undefined);
  slots[slot] = data;
}

function isSingle(name: string): name is SingleSet {
  return (SINGLE_SETS as readonly string[]).includes(name);
}

function keyOf(element: string): string {
  const end = element.search(/ comment "| : /);
  return end < 0 ? element : element.slice(0, end);
}

function parseSlot(element: string): { key: string; slot: number; data: string } {
  const at = element.lastIndexOf(" : ");
  const dot = element.lastIndexOf(" . ", at - 1);
  return { key: element.slice(0, dot), slot: Number(element.slice(dot + 3, at)), data: element.slice(at + 3) };
}
