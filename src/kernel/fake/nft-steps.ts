/** One step of an nftables transaction on a table in memory, refused where nf_tables refuses it. Tables never change. */
import { BreakwaterError } from "../../model/errors.ts";
import type { NftBaseChain, NftRule, NftSet } from "../../model/nft.ts";
import { type NftChange, type NftTableName, type ObservedTable, ruleFingerprint } from "../../model/nft-changes.ts";
import { type Prefix, prefixesOverlap } from "../../model/prefix.ts";

interface FakeChain {
  readonly base: NftBaseChain | undefined;
  readonly rules: readonly NftRule[];
}

type FakeSet = Pick<NftSet, "name" | "key" | "interval" | "elements">;

export interface FakeTable {
  readonly sets: ReadonlyMap<string, FakeSet>;
  readonly chains: ReadonlyMap<string, FakeChain>;
}

const EMPTY: FakeTable = { sets: new Map(), chains: new Map() };

/** @returns the table behind the step, undefined when it is deleted */
export function applyNftChange(
  name: NftTableName,
  table: FakeTable | undefined,
  change: NftChange,
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
    const { key, interval } = change.set;
    if (before !== undefined && (before.key !== key || before.interval !== interval)) no("EEXIST");
    if (before === undefined) sets.set(name, { name, key, interval, elements: [] });
    return sets;
  }
  if (before === undefined) return no("ENOENT");
  if (change.do === "deleteSet") {
    if (rulesOf(table).some((rule) => usesSet(rule, name))) no("EBUSY");
    sets.delete(name);
  } else if (change.do === "addElements") sets.set(name, withElements(before, change.elements, no));
  else sets.set(name, withoutElements(before, change.elements, no));
  return sets;
}

function withElements(set: FakeSet, elements: readonly string[], no: Refuse): FakeSet {
  const all = new Set(set.elements);
  for (const element of elements) {
    const overlaps = (other: string) => prefixesOverlap(asPrefix(other), asPrefix(element));
    if (set.interval && !all.has(element) && [...all].some(overlaps)) no("EEXIST");
    all.add(element);
  }
  return { ...set, elements: [...all].sort() };
}

function withoutElements(set: FakeSet, elements: readonly string[], no: Refuse): FakeSet {
  const all = new Set(set.elements);
  for (const element of elements) if (!all.delete(element)) no("ENOENT");
  return { ...set, elements: [...all] };
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
    if (rulesOf(table).some((rule) => jumpsTo(rule, name))) no("EBUSY");
    chains.delete(name);
  } else {
    checkRule(table, change.rule, no);
    chains.set(name, { ...before, rules: [...before.rules, change.rule] });
  }
  return chains;
}

function checkRule(table: FakeTable, rule: NftRule, no: Refuse): void {
  for (const statement of rule.statements) {
    if ("lookup" in statement && !table.sets.has(statement.set)) no("ENOENT");
    const target = "verdict" in statement && typeof statement.verdict === "object" ? statement.verdict : undefined;
    if (target === undefined) continue;
    if (!table.chains.has("jump" in target ? target.jump : target.goto)) no("ENOENT");
  }
}

function rulesOf(table: FakeTable): NftRule[] {
  return [...table.chains.values()].flatMap((chain) => chain.rules);
}

function usesSet(rule: NftRule, set: string): boolean {
  return rule.statements.some((statement) => "lookup" in statement && statement.set === set);
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
    sets: [...table.sets.values()].map(({ name: set, key, interval, elements }) => ({
      name: set,
      key,
      interval,
      elements: [...elements],
    })),
    chains: Array.from(table.chains, ([chain, { base, rules }]) => ({
      name: chain,
      ...(base === undefined ? {} : { base }),
      fingerprints: rules.map(ruleFingerprint),
    })),
  };
}
