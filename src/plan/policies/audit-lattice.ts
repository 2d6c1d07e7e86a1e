/**
 * Which of many selectors, peers or ports contain one of them, without comparing each with each: a thousand policies have
 * ten thousand rules, and most have nothing to do with each other.
 */
import { familyBits, ipFamily } from "../../model/ip.ts";
import type { PolicyPeer, PolicyPort } from "../../model/policy.ts";
import { type PrefixRange, prefixLength, prefixRange } from "../../model/prefix.ts";
import type { Selector } from "../../model/selector.ts";
import {
  blockContains,
  type Constraints,
  constraintsContain,
  constraintsOf,
  portContains,
} from "./audit-containment.ts";
import { portText } from "./policy-text.ts";

/** Distinct values, each with a number, and those that contain it. */
export interface Lattice<T> {
  /** The value's number; equal values have equal numbers. */
  idOf(value: T): number;
  /** Numbers of all that contain the value, its own among them. Ask when all values are known. */
  containing(id: number): readonly number[];
}

/** What of a value is looked up: under which names it may be found by what it contains. */
interface Filing<T> {
  text(value: T): string;
  /** Names of a value that contains others: those have one of them. */
  filedUnder(value: T, count: (name: string) => number): readonly string[];
  /** Names under which whatever contains the value is filed. */
  soughtUnder(value: T): readonly string[];
  contains(outer: T, inner: T): boolean;
}

function makeLattice<T>(values: Iterable<T>, filing: Filing<T>): Lattice<T> {
  const ids = new Map<string, number>();
  const distinct: T[] = [];
  for (const value of values) {
    const text = filing.text(value);
    if (ids.has(text)) continue;
    ids.set(text, distinct.length);
    distinct.push(value);
  }
  let counts: Map<string, number> | undefined;
  const count = (name: string) => {
    counts ??= countNames(distinct.flatMap((value) => filing.soughtUnder(value)));
    return counts.get(name) ?? 0;
  };
  const files = new Map<string, number[]>();
  for (const [id, value] of distinct.entries()) {
    for (const name of filing.filedUnder(value, count)) {
      const file = files.get(name);
      if (file === undefined) files.set(name, [id]);
      else file.push(id);
    }
  }
  const search = (id: number): readonly number[] => {
    const inner = distinct[id] as T;
    const found = new Set([id]);
    for (const name of filing.soughtUnder(inner)) {
      for (const each of files.get(name) ?? []) if (filing.contains(distinct[each] as T, inner)) found.add(each);
    }
    return [...found];
  };
  const idOf = (value: T) => ids.get(filing.text(value)) ?? -1;
  return { idOf, containing: remembered(search) };
}

function countNames(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

function remembered(search: (id: number) => readonly number[]): (id: number) => readonly number[] {
  const found: (readonly number[] | undefined)[] = [];
  return (id) => {
    const known = found[id] ?? search(id);
    found[id] = known;
    return known;
  };
}

/** Values that nothing is asked of are filed here, and sought here by all. */
const ANY = "";

/** A selector with what it says, worked out once. */
export interface ReadSelector {
  readonly text: string;
  readonly constraints: Constraints;
}

export function readSelector(text: string, selector: Selector): ReadSelector {
  return { text, constraints: constraintsOf(selector) };
}

/** Labels' keys and values hold no NUL. */
const valueName = (key: string, value: string) => `${key}\0=\0${value}`;
const keyName = (key: string) => `${key}\0`;

/** Selectors are filed under the rarest of their keys: what a selector contains says something of each of these. */
export function selectorLattice(selectors: Iterable<ReadSelector>): Lattice<ReadSelector> {
  return makeLattice(selectors, {
    text: ({ text }) => text,
    filedUnder: ({ constraints }, count) => {
      // It contains what matches nothing, and nothing else.
      if (constraints === undefined) return [ANY];
      let best: readonly string[] = [ANY];
      let least = Number.POSITIVE_INFINITY;
      for (const [key, { values }] of constraints) {
        const names = values === undefined ? [keyName(key)] : [...values].map((value) => valueName(key, value));
        const size = Math.max(...names.map(count));
        if (size < least) [best, least] = [names, size];
      }
      return best;
    },
    soughtUnder: ({ constraints }) => {
      if (constraints === undefined) return [ANY];
      const names = [...constraints].flatMap(([key, { values }]) => {
        const [first] = values ?? [];
        return first === undefined ? [keyName(key)] : [keyName(key), valueName(key, first)];
      });
      return [ANY, ...names];
    },
    contains: (outer, inner) => constraintsContain(outer.constraints, inner.constraints),
  });
}

type Block = Extract<PolicyPeer, { kind: "block" }>;

export const blockText = ({ prefix, except }: Block) => [prefix, ...except].join(" ");

/** Blocks are filed under their prefix, and sought under each shorter one that there is. */
export function blockLattice(blocks: readonly Block[]): Lattice<Block> {
  const lengths = {
    4: [...new Set(blocks.filter(({ prefix }) => ipFamily(prefix) === 4).map(({ prefix }) => prefixLength(prefix)))],
    6: [...new Set(blocks.filter(({ prefix }) => ipFamily(prefix) === 6).map(({ prefix }) => prefixLength(prefix)))],
  };
  // The bits that a prefix fixes, as a number: cheaper than its text.
  const nameOf = ({ family, first }: PrefixRange, length: number) =>
    `${family} ${first >> BigInt(familyBits(family) - length)}/${length}`;
  return makeLattice(blocks, {
    text: blockText,
    filedUnder: ({ prefix }) => [nameOf(prefixRange(prefix), prefixLength(prefix))],
    soughtUnder: ({ prefix }) => {
      const range = prefixRange(prefix);
      return lengths[range.family].filter((each) => each <= range.length).map((each) => nameOf(range, each));
    },
    contains: blockContains,
  });
}

/** Ranges hold numbers and ranges; the rest is filed as it reads. */
export function portLattice(ports: readonly PolicyPort[]): Lattice<PolicyPort> {
  const filed = makeLattice(ports, {
    text: portText,
    filedUnder: (value) => (isRange(value) ? [] : [`${value.protocol} ${value.port ?? "all"}`]),
    soughtUnder: ({ protocol, port, endPort }) =>
      port === undefined || endPort !== undefined ? [`${protocol} all`] : [`${protocol} all`, `${protocol} ${port}`],
    contains: portContains,
  });
  const distinct = [...new Map(ports.map((port) => [filed.idOf(port), port]))];
  const ranges = new Map(
    (["TCP", "UDP", "SCTP"] as const).map((protocol) => {
      const some = distinct.filter(([, port]) => port.protocol === protocol && isRange(port));
      return [protocol, new SortedRanges(some.map(([id, { port, endPort }]) => [Number(port), endPort ?? 0, id]))];
    }),
  );
  const values = new Map(distinct);
  const search = (id: number): readonly number[] => {
    const { protocol, port, endPort } = values.get(id) ?? { protocol: "TCP" };
    const others = filed.containing(id);
    if (typeof port !== "number") return others;
    const around = ranges.get(protocol)?.around(port, endPort ?? port) ?? [];
    return [...others, ...around.filter((each) => each !== id)];
  };
  return { idOf: filed.idOf, containing: remembered(search) };
}

function isRange({ port, endPort }: PolicyPort): boolean {
  return endPort !== undefined && endPort !== port;
}

/** So many of the ranges around a port are looked at, the widest to the left first: nested ones would be millions of pairs. */
const MOST_RANGES = 64;

/** Ranges in numbers alone: ten thousand of them are compared with each other. */
class SortedRanges {
  readonly #first: Uint16Array;
  readonly #last: Uint16Array;
  readonly #ids: readonly number[];

  constructor(ranges: readonly (readonly [first: number, last: number, id: number])[]) {
    const sorted = ranges.toSorted((a, b) => a[0] - b[0] || b[1] - a[1]);
    this.#first = Uint16Array.from(sorted, ([first]) => first);
    this.#last = Uint16Array.from(sorted, ([, last]) => last);
    this.#ids = sorted.map(([, , id]) => id);
  }

  around(first: number, last: number): number[] {
    const found: number[] = [];
    for (let i = 0; i < this.#ids.length && (this.#first[i] ?? 0) <= first && found.length < MOST_RANGES; i++) {
      if ((this.#last[i] ?? 0) >= last) found.push(this.#ids[i] ?? -1);
    }
    return found;
  }
}
