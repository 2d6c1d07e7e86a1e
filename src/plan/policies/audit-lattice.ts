/**
 * Which of many selectors, peers or ports contain one of them, without comparing each with each: a thousand policies have
 * ten thousand rules, and most have nothing to do with each other.
 */
import { ipFamily, ipFromBigInt } from "../../model/ip.ts";
import type { PolicyPeer, PolicyPort } from "../../model/policy.ts";
import { prefixLength, prefixRange } from "../../model/prefix.ts";
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
  const counts = new Map<string, number>();
  for (const value of distinct) {
    for (const name of filing.soughtUnder(value)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const files = new Map<string, number[]>();
  for (const [id, value] of distinct.entries()) {
    for (const name of filing.filedUnder(value, (each) => counts.get(each) ?? 0)) {
      const file = files.get(name);
      if (file === undefined) files.set(name, [id]);
      else file.push(id);
    }
  }
  const found: (readonly number[] | undefined)[] = [];
  const search = (id: number): readonly number[] => {
    const inner = distinct[id] as T;
    const candidates = new Set(filing.soughtUnder(inner).flatMap((name) => files.get(name) ?? []));
    return [...candidates].filter((each) => each === id || filing.contains(distinct[each] as T, inner));
  };
  return {
    idOf: (value) => ids.get(filing.text(value)) ?? -1,
    containing: (id) => {
      const known = found[id] ?? search(id);
      found[id] = known;
      return known;
    },
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
  return makeLattice(blocks, {
    text: blockText,
    filedUnder: ({ prefix }) => [prefix],
    soughtUnder: ({ prefix }) => {
      const { family, length, first } = prefixRange(prefix);
      const bits = family === 4 ? 32 : 128;
      return lengths[family]
        .filter((each) => each <= length)
        .map((each) => {
          const shift = BigInt(bits - each);
          return `${ipFromBigInt((first >> shift) << shift, family)}/${each}`;
        });
    },
    contains: blockContains,
  });
}

/** Ports are filed by protocol; ranges for themselves, for any number may lie in one. */
export function portLattice(ports: readonly PolicyPort[]): Lattice<PolicyPort> {
  const isRange = ({ port, endPort }: PolicyPort) => endPort !== undefined && endPort !== port;
  return makeLattice(ports, {
    text: portText,
    filedUnder: (value) =>
      isRange(value) ? [`${value.protocol} ranges`] : [`${value.protocol} ${value.port ?? "all"}`],
    soughtUnder: (value) => {
      const { protocol, port } = value;
      const wider = [`${protocol} all`, ...(typeof port === "number" ? [`${protocol} ranges`] : [])];
      return port === undefined || isRange(value) ? wider : [...wider, `${protocol} ${port}`];
    },
    contains: portContains,
  });
}
