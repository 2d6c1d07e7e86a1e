/**
 * Steps that turn one nftables table into another: only sets, elements and chains that differ. Rules of a chain are
 * replaced together, which the kernel does atomically: no packet ever sees half a chain.
 */
import type { NftChain, NftSet, NftTable } from "../model/nft.ts";
import { type NftChange, type ObservedChain, type ObservedTable, ruleFingerprint } from "../model/nft-changes.ts";

export function diffNft(desired: NftTable, observed: ObservedTable | undefined): NftChange[] {
  const wanted = desired.sets.length > 0 || desired.chains.length > 0;
  if (!wanted) return observed === undefined ? [] : [{ do: "deleteTable" }];
  const sets = new Map(observed?.sets.map((set) => [set.name, set]));
  const chains = new Map(observed?.chains.map((chain) => [chain.name, chain]));
  // A base chain cannot move to another hook, nor a set change its type: such a table is built anew, in one transaction.
  if (
    desired.sets.some((set) => differsInType(set, sets.get(set.name))) ||
    desired.chains.some((chain) => differsInHook(chain, chains.get(chain.name)))
  ) {
    return [{ do: "deleteTable" }, ...diffNft(desired, undefined)];
  }
  return [
    ...(observed === undefined ? [{ do: "addTable" } as const] : []),
    ...desired.sets.flatMap((set) => addSet(set, sets.get(set.name))),
    ...desired.chains.flatMap((chain) => addChain(chain, chains.get(chain.name))),
    ...desired.chains.flatMap((chain) => replaceRules(chain, chains.get(chain.name))),
    ...desired.sets.flatMap((set) => removeElements(set, sets.get(set.name))),
    ...removed(desired, observed),
  ];
}

function differsInType(set: NftSet, observed: Omit<NftSet, "comment"> | undefined): boolean {
  return observed !== undefined && (set.key !== observed.key || set.interval !== observed.interval);
}

function differsInHook(chain: NftChain, observed: ObservedChain | undefined): boolean {
  if (observed === undefined) return false;
  const [a, b] = [chain.base, observed.base];
  return (
    a?.type !== b?.type ||
    a?.hook !== b?.hook ||
    a?.priority !== b?.priority ||
    a?.policy !== b?.policy ||
    a?.device !== b?.device
  );
}

function addSet(set: NftSet, observed: Omit<NftSet, "comment"> | undefined): NftChange[] {
  const have = new Set(observed?.elements);
  const missing = set.elements.filter((element) => !have.has(element));
  // An interval that grows or shrinks overlaps its old self: the old one goes first, in the same transaction.
  const stale = set.interval && missing.length > 0 ? staleElements(set, observed) : [];
  return [
    ...(observed === undefined ? [{ do: "addSet", set } as const] : []),
    ...(stale.length === 0 ? [] : [{ do: "deleteElements", set, elements: stale } as const]),
    ...(missing.length === 0 ? [] : [{ do: "addElements", set, elements: missing } as const]),
  ];
}

function removeElements(set: NftSet, observed: Omit<NftSet, "comment"> | undefined): NftChange[] {
  const have = new Set(observed?.elements);
  const alreadyRemoved = set.interval && set.elements.some((element) => !have.has(element));
  const stale = alreadyRemoved ? [] : staleElements(set, observed);
  return stale.length === 0 ? [] : [{ do: "deleteElements", set, elements: stale }];
}

function staleElements(set: NftSet, observed: Omit<NftSet, "comment"> | undefined): string[] {
  const want = new Set(set.elements);
  return (observed?.elements ?? []).filter((element) => !want.has(element));
}

function addChain(chain: NftChain, observed: ObservedChain | undefined): NftChange[] {
  if (observed !== undefined) return [];
  const { name, base } = chain;
  return [{ do: "addChain", chain: base === undefined ? { name } : { name, base } }];
}

function replaceRules(chain: NftChain, observed: ObservedChain | undefined): NftChange[] {
  const wanted = chain.rules.map(ruleFingerprint);
  const have = observed?.fingerprints ?? [];
  if (wanted.length === have.length && wanted.every((fingerprint, i) => fingerprint === have[i])) return [];
  return [
    ...(have.length === 0 ? [] : [{ do: "flushChain", chain: chain.name } as const]),
    ...chain.rules.map((rule) => ({ do: "addRule", chain: chain.name, rule }) as const),
  ];
}

function removed(desired: NftTable, observed: ObservedTable | undefined): NftChange[] {
  const chains = new Set(desired.chains.map((chain) => chain.name));
  const sets = new Set(desired.sets.map((set) => set.name));
  const staleChains = (observed?.chains ?? []).filter((chain) => !chains.has(chain.name));
  const staleSets = (observed?.sets ?? []).filter((set) => !sets.has(set.name));
  return [
    ...staleChains.map((chain) => ({ do: "flushChain", chain: chain.name }) as const),
    ...staleChains.map((chain) => ({ do: "deleteChain", chain: chain.name }) as const),
    ...staleSets.map((set) => ({ do: "deleteSet", set: set.name }) as const),
  ];
}
