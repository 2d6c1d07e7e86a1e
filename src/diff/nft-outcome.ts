/** What a table is behind a transaction that the kernel took: as a list of it would say, without listing. */
import type { NftFlowtable } from "../model/nft.ts";
import type { NftChange, NftTableName, ObservedTable } from "../model/nft-changes.ts";
import { ruleFingerprint } from "../model/nft-changes.ts";

type FlowtableChange = Extract<NftChange, { flowtable: unknown }>;
type SetChange = Extract<NftChange, { do: "addSet" | "deleteSet" | "addElements" | "deleteElements" }>;
type ChainChange = Extract<NftChange, { do: "addChain" | "flushChain" | "deleteChain" | "addRule" }>;

export function tableBehind(
  name: NftTableName,
  before: ObservedTable | undefined,
  changes: readonly NftChange[],
): ObservedTable | undefined {
  let table = before;
  for (const change of changes) {
    if (change.do === "deleteTable") table = undefined;
    else table = tableBehindChange(table ?? { ...name, sets: [], chains: [] }, change);
  }
  return table;
}

function tableBehindChange(table: ObservedTable, change: Exclude<NftChange, { do: "deleteTable" }>): ObservedTable {
  switch (change.do) {
    case "addTable":
      return table;
    case "addSet":
    case "deleteSet":
    case "addElements":
    case "deleteElements":
      return { ...table, sets: setsBehind(table.sets, change) };
    case "addFlowtable":
    case "deleteFlowtable":
    case "deleteFlowtableDevices":
      return withFlowtables(table, flowtablesBehind(table.flowtables ?? [], change));
    default:
      return { ...table, chains: chainsBehind(table.chains, change) };
  }
}

/** The table with these flowtables; a table without any does not name them. */
export function withFlowtables(table: ObservedTable, flowtables: readonly NftFlowtable[]): ObservedTable {
  const { flowtables: _, ...rest } = table;
  return flowtables.length === 0 ? rest : { ...rest, flowtables };
}

function flowtablesBehind(flowtables: readonly NftFlowtable[], change: FlowtableChange): readonly NftFlowtable[] {
  const { flowtable } = change;
  if (typeof flowtable === "string") return flowtables.filter(({ name }) => name !== flowtable);
  const before = flowtables.find(({ name }) => name === flowtable.name);
  const named = new Set(flowtable.devices);
  const others = (before?.devices ?? []).filter((device) => !named.has(device));
  const devices = change.do === "addFlowtable" ? [...others, ...named].sort() : others;
  if (before === undefined) return [...flowtables, { ...flowtable, devices }];
  return flowtables.map((each) => (each === before ? { ...each, devices } : each));
}

function setsBehind(sets: ObservedTable["sets"], change: SetChange): ObservedTable["sets"] {
  const name = typeof change.set === "string" ? change.set : change.set.name;
  switch (change.do) {
    case "addSet": {
      if (sets.some((set) => set.name === name)) return sets;
      const { comment: _, ...set } = change.set;
      return [...sets, { ...set, elements: [] }];
    }
    case "deleteSet":
      return sets.filter((set) => set.name !== name);
    default:
      return sets.map((set) => (set.name === name ? { ...set, elements: elementsBehind(set.elements, change) } : set));
  }
}

function elementsBehind(
  elements: readonly string[],
  change: Extract<SetChange, { do: "addElements" | "deleteElements" }>,
): readonly string[] {
  const changed = new Set(change.elements);
  const others = elements.filter((element) => !changed.has(element));
  return change.do === "deleteElements" ? others : [...others, ...changed].sort();
}

function chainsBehind(chains: ObservedTable["chains"], change: ChainChange): ObservedTable["chains"] {
  const name = typeof change.chain === "string" ? change.chain : change.chain.name;
  switch (change.do) {
    case "addChain": {
      if (chains.some((chain) => chain.name === name)) return chains;
      const { base } = change.chain;
      return [...chains, { name, ...(base === undefined ? {} : { base }), fingerprints: [] }];
    }
    case "deleteChain":
      return chains.filter((chain) => chain.name !== name);
    default: {
      const more = change.do === "addRule" ? [ruleFingerprint(change.rule)] : [];
      const kept = (fingerprints: readonly string[]) => (change.do === "flushChain" ? [] : fingerprints);
      return chains.map((chain) =>
        chain.name === name ? { ...chain, fingerprints: [...kept(chain.fingerprints), ...more] } : chain,
      );
    }
  }
}
