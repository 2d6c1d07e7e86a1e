/** One step of an nftables transaction on a table in memory, refused where nf_tables refuses it. Tables never change. */
import { isDeepStrictEqual } from "node:util";
import { BreakwaterError } from "../../model/errors.ts";
import type { NftBaseChain, NftRule, NftSet, NftStatement } from "../../model/nft.ts";
import { type NftChange, type NftTableName, type ObservedTable, ruleFingerprint } from "../../model/nft-changes.ts";
import { type Prefix, prefixesOverlap } from "../../model/prefix.ts";
import { changeFlowtables, type FlowtableSurroundings, type Flowtables } from "./flowtables.ts";

interface FakeChain {
  readonly base: NftBaseChain | undefined;
  readonly rules: readonly NftRule[];
}

type FakeSet = Omit<NftSet, "comment">;

export interface FakeTable {
  readonly flowtables: Flowtables;
  readonly sets: ReadonlyMap<string, FakeSet>;
  readonly chains: ReadonlyMap<string, FakeChain>;
}

const EMPTY: FakeTable = { flowtables: new Map(), sets: new Map(), chains: new Map() };

const ANY_DEVICE: FlowtableSurroundings = { hasDevice: () => true, hasFlowtables: () => true };

/** @returns the table behind the step, undefined when it is deleted */
export function applyNftChange(
  name: NftTableName,
  table: FakeTable | undefined,
  change: NftChange,
  surroundings: FlowtableSurroundings = ANY_DEVICE,
): FakeTable | undefined {
  if (change.do === "addTable") return table ?? EMPTY;
  const no = (errno: string) => refuseStep(name, change, errno);
  const present = table ?? no("ENOENT");
  switch (change.do) {
    case "deleteTable":
      return undefined;
    case "addSet":
    case "deleteSet":
    case "addElements":
    case "deleteElements":
      return { ...present, sets: changeSets(present, change, no) };
    case "addFlowtable":
    case "deleteFlowtable":
    case "deleteFlowtableDevices": {
      const isUsed = (flowtable: string) => rulesOf(present).some((rule) => offersTo(rule, flowtable));
      return { ...present, flowtables: changeFlowtables(present.flowtables, change, surroundings, isUsed, no) };
    }
    default:
      return { ...present, chains: changeChains(present, change, no) };
  }
}

type Refuse = (errno: string) => never;
type SetChange = Extract<NftChange, { do: "addSet" | "deleteSet" | "addElements" | "deleteElements" }>;
type ChainChange = Extract<NftChange, { do: "addChain" | "flushChain" | "deleteChain" | "addRule" }>;

function changeSets(table: FakeTable, change: SetChange, no: Refuse): Map<string, FakeSet> {
  const sets = new Map(table.sets);
  const name = typeof change.set === "string" ? change.set : change.set.name;
  const before = sets.get(name);
  if (change.do === "addSet") {
    const { comment: _, ...set } = { ...change.set, elements: [] };
    if (before !== undefined && !isDeepStrictEqual({ ...before, elements: [] }, set)) no("EEXIST");
    if (before === undefined) sets.set(name, set);
    return sets;
  }
  if (before === undefined) return no("ENOENT");
  if (change.do === "deleteSet") {
    if (rulesOf(table).some((rule) => usesSet(rule, name))) no("EBUSY");
    sets.delete(name);
  } else if (change.do === "addElements") sets.set(name, withElements(table, before, change.elements, no));
  else sets.set(name, withoutElements(before, change.elements, no));
  return sets;
}

function withElements(table: FakeTable, set: FakeSet, elements: readonly string[], no: Refuse): FakeSet {
  const all = new Map(set.elements.map((element) => [elementKey(set, element), element]));
  const prefixes = set.interval && typeof set.key === "string";
  for (const element of elements) {
    const key = elementKey(set, element);
    const before = all.get(key);
    const overlaps = (other: string) => prefixesOverlap(asPrefix(other), asPrefix(element));
    if (before !== undefined && plainElement(before) !== plainElement(element)) no("EEXIST");
    if (prefixes && before === undefined && [...all.values()].some(overlaps)) no("EEXIST");
    const chain = verdictChain(element);
    if (set.data === "verdict" && chain !== undefined && !table.chains.has(chain)) no("ENOENT");
    all.set(key, before ?? element);
  }
  return { ...set, elements: [...all.values()].sort() };
}

function withoutElements(set: FakeSet, elements: readonly string[], no: Refuse): FakeSet {
  const all = new Map(set.elements.map((element) => [elementKey(set, element), element]));
  for (const element of elements) if (!all.delete(elementKey(set, element))) no("ENOENT");
  return { ...set, elements: [...all.values()] };
}

/** What the kernel tells elements apart by: not their data, nor their comment. */
function elementKey(set: FakeSet, element: string): string {
  const key = set.data === undefined ? element : element.slice(0, element.lastIndexOf(" : "));
  return plainElement(key);
}

/** Without its comment, and without when it ends. */
function plainElement(element: string): string {
  return element.replace(/ comment "[^"]*"| timeout \d+ms( expires \d+ms)?$/, "");
}

function verdictChain(element: string): string | undefined {
  return / : (?:goto|jump) (\S+)$/.exec(element)?.[1];
}

function asPrefix(element: string): Prefix {
  return element.includes("/") ? element : `${element}/${element.includes(":") ? 128 : 32}`;
}

function changeChains(table: FakeTable, change: ChainChange, no: Refuse): Map<string, FakeChain> {
  const chains = new Map(table.chains);
  const name = typeof change.chain === "string" ? change.chain : change.chain.name;
  const before = chains.get(name);
  if (change.do === "addChain") {
    if (before === undefined) chains.set(name, { base: change.chain.base, rules: [] });
    return chains;
  }
  if (before === undefined) return no("ENOENT");
  if (change.do === "flushChain") chains.set(name, { ...before, rules: [] });
  else if (change.do === "deleteChain") {
    if (rulesOf(table).some((rule) => jumpsTo(rule, name)) || isInVerdictMap(table, name)) no("EBUSY");
    chains.delete(name);
  } else {
    checkRule(table, change.rule, no);
    // A rule of its own, also where another of the same words is or was: its counters begin at nothing.
    chains.set(name, { ...before, rules: [...before.rules, { ...change.rule }] });
  }
  return chains;
}

function checkRule(table: FakeTable, rule: NftRule, no: Refuse): void {
  for (const statement of rule.statements) {
    const set = setOf(statement);
    if (set !== undefined && !table.sets.has(set)) no("ENOENT");
    if ("flowAdd" in statement && !table.flowtables.has(statement.flowAdd)) no("ENOENT");
    const target = "verdict" in statement && typeof statement.verdict === "object" ? statement.verdict : undefined;
    if (target === undefined) continue;
    if (!table.chains.has("jump" in target ? target.jump : target.goto)) no("ENOENT");
  }
}

function rulesOf(table: FakeTable): NftRule[] {
  return [...table.chains.values()].flatMap((chain) => chain.rules);
}

function offersTo(rule: NftRule, flowtable: string): boolean {
  return rule.statements.some((statement) => "flowAdd" in statement && statement.flowAdd === flowtable);
}

function usesSet(rule: NftRule, set: string): boolean {
  return rule.statements.some((statement) => setOf(statement) === set);
}

function setOf(statement: NftStatement): string | undefined {
  if ("set" in statement) return statement.set;
  return "map" in statement ? statement.map : undefined;
}

function isInVerdictMap(table: FakeTable, chain: string): boolean {
  const maps = [...table.sets.values()].filter((set) => set.data === "verdict");
  return maps.some((map) => map.elements.some((element) => verdictChain(element) === chain));
}

function jumpsTo(rule: NftRule, chain: string): boolean {
  return rule.statements.some(
    (statement) =>
      "verdict" in statement &&
      typeof statement.verdict === "object" &&
      ("jump" in statement.verdict ? statement.verdict.jump : statement.verdict.goto) === chain,
  );
}

function refuseStep({ family, name }: NftTableName, change: NftChange, errno: string): never {
  const operation = "commit to nftables table";
  const object = `${family} ${name}: ${change.do}`;
  throw new BreakwaterError("BW_NFTABLES", `Cannot ${operation} ${object}: the kernel answered ${errno}`, {
    operation,
    object,
    errno,
  });
}

export function observeTable({ family, name }: NftTableName, table: FakeTable): ObservedTable {
  return {
    family,
    name,
    ...(table.flowtables.size === 0 ? {} : { flowtables: [...table.flowtables.values()] }),
    sets: [...table.sets.values()].map((set) => ({ ...set, elements: [...set.elements] })),
    chains: Array.from(table.chains, ([chain, { base, rules }]) => ({
      name: chain,
      ...(base === undefined ? {} : { base }),
      fingerprints: rules.map(ruleFingerprint),
    })),
  };
}
