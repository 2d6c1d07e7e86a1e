/** Two plans of a table, reduced to what differs: a comparison of what is left finds the same steps, in less time. */
import { POLICY_TABLES } from "../../model/marks.ts";
import type { NftChain, NftSet, NftTable } from "../../model/nft.ts";
import { type ObservedTable, ruleFingerprint } from "../../model/nft-changes.ts";
import { baseChains, type Frame, policyTable } from "./frame.ts";
import type { LiveSet } from "./live-set.ts";

/** A plan, each part by name. */
export interface PlannedParts {
  /** Sets and maps of this node's pods, or of ports: few elements. */
  readonly small: ReadonlyMap<string, NftSet>;
  readonly chains: ReadonlyMap<string, NftChain>;
  /** Of the whole cluster's pods. */
  readonly peers: ReadonlyMap<string, LiveSet>;
}

export interface ReducedTables {
  readonly wanted: NftTable;
  readonly before: ObservedTable | undefined;
}

/** Changes of sets of peers are taken from them, whether the plan is used or not. */
export function partsThatDiffer(
  frame: Frame,
  before: PlannedParts | undefined,
  after: PlannedParts | undefined,
): ReducedTables {
  const peers = peersThatDiffer(before?.peers ?? new Map(), after?.peers ?? new Map());
  if (after === undefined) {
    const nothing = { ...policyTable(frame, [], []), chains: [] };
    return { wanted: nothing, before: before && observed(frame, [], []) };
  }
  const small = different(before?.small ?? new Map(), after.small, sameSet);
  const chains = different(before?.chains ?? new Map(), after.chains, sameChain);
  const wanted = policyTable(frame, [...small.wanted, ...peers.wanted], chains.wanted);
  if (before === undefined) return { wanted, before: undefined };
  return { wanted, before: observed(frame, [...small.before, ...peers.before], chains.before) };
}

interface Difference<T> {
  readonly wanted: readonly T[];
  readonly before: readonly T[];
}

function different<T>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  same: (a: T, b: T) => boolean,
): Difference<T> {
  if (before === after) return { wanted: [], before: [] };
  // Thousands of chains, of which hardly any differs: nothing is made for those that are the same.
  const [wanted, gone]: [T[], T[]] = [[], []];
  for (const [name, value] of after) {
    const old = before.get(name);
    if (old !== undefined && (old === value || same(old, value))) continue;
    wanted.push(value);
    if (old !== undefined) gone.push(old);
  }
  for (const [name, value] of before) if (!after.has(name)) gone.push(value);
  return { wanted, before: gone };
}

/** Of a set that stays: the elements that came, and those that went. */
function peersThatDiffer(
  before: ReadonlyMap<string, LiveSet>,
  after: ReadonlyMap<string, LiveSet>,
): Difference<NftSet> {
  const [wanted, gone]: [NftSet[], NftSet[]] = [[], []];
  for (const [name, set] of after) {
    if (before === after && !set.isTurned) continue;
    const { added, removed } = set.taken();
    if (before.get(name) !== set) wanted.push(set.whole());
    else if (added.length + removed.length > 0) {
      wanted.push({ ...set.head, elements: added });
      gone.push({ ...set.head, elements: removed });
    }
  }
  if (before === after) return { wanted, before: gone };
  for (const [name, set] of before) if (!after.has(name)) gone.push({ ...set.head, elements: [] });
  return { wanted, before: gone };
}

/** The chains at the hooks are in both, and the same. */
function observed(frame: Frame, sets: readonly NftSet[], chains: readonly NftChain[]): ObservedTable {
  return {
    ...POLICY_TABLES[frame.family],
    sets: sets.map(({ comment: _, ...set }) => set),
    chains: [...baseChains(frame), ...chains].map(({ name, base, rules }) => ({
      name,
      ...(base === undefined ? {} : { base }),
      fingerprints: rules.map(ruleFingerprint),
    })),
  };
}

function sameSet(a: NftSet, b: NftSet): boolean {
  return a.elements.length === b.elements.length && a.elements.every((element, i) => element === b.elements[i]);
}

function sameChain(a: NftChain, b: NftChain): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
