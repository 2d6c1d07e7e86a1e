/** Two plans of a table, reduced to what differs: a comparison of what is left finds the same steps, in less time. */
import { POLICY_TABLES } from "../../model/marks.ts";
import type { NftChain, NftSet, NftTable } from "../../model/nft.ts";
import { type ObservedTable, ruleFingerprint } from "../../model/nft-changes.ts";
import type { CountedParts, Difference, TableParts } from "./counted-parts.ts";
import { baseChains, type Frame, policyTable } from "./frame.ts";
import type { LiveSet } from "./live-set.ts";
import type { PeerSets } from "./peer-sets.ts";

export interface ReducedTables {
  readonly wanted: NftTable;
  readonly before: ObservedTable | undefined;
}

/** What is another since this was last asked, whether it is used or not. */
export interface TakenParts {
  readonly sets: Difference<NftSet>;
  readonly chains: Difference<NftChain>;
}

/** @param pods the sets of this node's pods, and what they were */
export function takeParts(
  { chains, maps, peers }: TableParts,
  sets: PeerSets,
  pods: { readonly now: readonly NftSet[]; readonly before: readonly NftSet[] },
): TakenParts {
  const small = [setsThatDiffer(pods.now, pods.before), maps.taken(sameSet), peersThatDiffer(peers, sets)];
  return {
    sets: { wanted: small.flatMap(({ wanted }) => wanted), before: small.flatMap(({ before }) => before) },
    chains: chains.taken(sameChain),
  };
}

/** Of a table that was there, and stays. */
export function tablesThatDiffer(frame: Frame, { sets, chains }: TakenParts): ReducedTables {
  const wanted = policyTable(frame, sets.wanted, chains.wanted);
  return { wanted, before: observed(frame, sets.before, chains.before) };
}

/** Of one that comes or goes. */
export function wholeTables(frame: Frame, wanted: NftTable, wasThere: boolean): ReducedTables {
  return { wanted, before: wasThere ? observed(frame, [], []) : undefined };
}

function setsThatDiffer(now: readonly NftSet[], before: readonly NftSet[]): Difference<NftSet> {
  const differing = now.map((set, i) => set !== before[i]);
  return { wanted: now.filter((_, i) => differing[i]), before: before.filter((_, i) => differing[i]) };
}

/** Of a set that stays: the elements that came, and those that went. */
function peersThatDiffer(peers: CountedParts<LiveSet>, sets: PeerSets): Difference<NftSet> {
  const [wanted, before]: [NftSet[], NftSet[]] = [[], []];
  const turned = sets.takeTurned();
  const touched = peers.taken(() => false);
  for (const { head } of touched.before) before.push({ ...head, elements: [] });
  for (const set of touched.wanted) {
    set.taken();
    wanted.push(set.whole());
  }
  const whole = new Set(touched.wanted);
  for (const set of turned) {
    const { added, removed } = set.taken();
    const isUsed = peers.has(set.head.name) && !whole.has(set);
    if (!isUsed || added.length + removed.length === 0) continue;
    wanted.push({ ...set.head, elements: added });
    before.push({ ...set.head, elements: removed });
  }
  for (const { head } of touched.before) if (!peers.has(head.name)) sets.forget(head.name);
  return { wanted, before };
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
