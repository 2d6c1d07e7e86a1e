/**
 * Steps that turn one nftables table into another: only sets, elements and chains that differ. Rules of a chain are
 * replaced together, which the kernel does atomically: no packet ever sees half a chain.
 */
import type { NftChain, NftFlowtable, NftSet, NftTable } from "../model/nft.ts";
import { type NftChange, type ObservedChain, type ObservedTable, ruleFingerprint } from "../model/nft-changes.ts";

export function diffNft(desired: NftTable, observed: ObservedTable | undefined): NftChange[] {
  const wanted = desired.sets.length > 0 || desired.chains.length > 0;
  if (!wanted) return observed === undefined ? [] : [{ do: "deleteTable" }];
  const sets = new Map(observed?.sets.map((set) => [set.name, set]));
  const chains = new Map(observed?.chains.map((chain) => [chain.name, chain]));
  if (observed !== undefined && !canBecome(observed, desired)) {
    return [{ do: "deleteTable" }, ...diffNft(desired, undefined)];
  }
  const [plain, verdicts] = [true, false].map((is) =>
    desired.sets.filter((set) => (set.data !== "verdict") === is),
  ) as [NftSet[], NftSet[]];
  return [
    ...(observed === undefined ? [{ do: "addTable" } as const] : []),
    ...plain.flatMap((set) => addSet(set, sets.get(set.name))),
    ...(desired.flowtables ?? []).flatMap((flowtable) => addFlowtable(flowtable, observed)),
    ...desired.chains.flatMap((chain) => addChain(chain, chains.get(chain.name))),
    // Verdicts name chains, rules name maps.
    ...verdicts.flatMap((set) => addSet(set, sets.get(set.name))),
    ...desired.chains.flatMap((chain) => replaceRules(chain, chains.get(chain.name))),
    ...desired.sets.flatMap((set) => removeElements(set, sets.get(set.name))),
    ...removed(desired, observed),
  ];
}

/**
 * A base chain cannot move to another hook, nor a set change its type, and no two flowtables of a table can have the same
 * device: such a table has to be built anew.
 */
export function canBecome(observed: ObservedTable, desired: NftTable): boolean {
  const sets = new Map(observed.sets.map((set) => [set.name, set]));
  const chains = new Map(observed.chains.map((chain) => [chain.name, chain]));
  return (
    !desired.sets.some((set) => differsInType(set, sets.get(set.name))) &&
    !desired.flowtables?.some((flowtable) => isInTheWay(flowtable, observed)) &&
    !desired.chains.some((chain) => differsInHook(chain, chains.get(chain.name)))
  );
}

function differsInType(set: NftSet, observed: Omit<NftSet, "comment"> | undefined): boolean {
  if (observed === undefined) return false;
  const shape = ({ key, data, interval, dynamic, counter = false }: Omit<NftSet, "comment">) =>
    JSON.stringify([key, data, interval, dynamic?.size, counter]);
  return shape(set) !== shape(observed);
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

/** Its priority is for good, as its devices are another's while that is there. */
function isInTheWay({ name, priority, devices }: NftFlowtable, { flowtables = [] }: ObservedTable): boolean {
  return flowtables.some((other) =>
    other.name === name ? other.priority !== priority : other.devices.some((device) => devices.includes(device)),
  );
}

function addFlowtable(flowtable: NftFlowtable, observed: ObservedTable | undefined): NftChange[] {
  const before = observed?.flowtables?.find(({ name }) => name === flowtable.name);
  const have = new Set(before?.devices);
  const devices = flowtable.devices.filter((device) => !have.has(device));
  return before !== undefined && devices.length === 0
    ? []
    : [{ do: "addFlowtable", flowtable: { ...flowtable, devices } }];
}

function removeFlowtables({ flowtables = [] }: NftTable, observed: ObservedTable | undefined): NftChange[] {
  return (observed?.flowtables ?? []).flatMap((before): NftChange[] => {
    const wanted = flowtables.find(({ name }) => name === before.name);
    if (wanted === undefined) return [{ do: "deleteFlowtable", flowtable: before.name }];
    const want = new Set(wanted.devices);
    const devices = before.devices.filter((device) => !want.has(device));
    return devices.length === 0 ? [] : [{ do: "deleteFlowtableDevices", flowtable: { ...before, devices } }];
  });
}

function addSet(set: NftSet, observed: Omit<NftSet, "comment"> | undefined): NftChange[] {
  const { missing, stale } = compareElements(set, observed);
  const first = replacesItself(set) && missing.length > 0 ? stale : [];
  return [
    ...(observed === undefined ? [{ do: "addSet", set } as const] : []),
    ...(first.length === 0 ? [] : [{ do: "deleteElements", set, elements: first } as const]),
    ...(missing.length === 0 ? [] : [{ do: "addElements", set, elements: missing } as const]),
  ];
}

/**
 * An interval that grows or shrinks overlaps its old self, and a map's new data has its old key: the old one goes first,
 * in the same transaction.
 */
function replacesItself(set: NftSet): boolean {
  return set.interval || set.data !== undefined;
}

function removeElements(set: NftSet, observed: Omit<NftSet, "comment"> | undefined): NftChange[] {
  const { missing, stale } = compareElements(set, observed);
  const alreadyRemoved = replacesItself(set) && missing.length > 0;
  return stale.length === 0 || alreadyRemoved ? [] : [{ do: "deleteElements", set, elements: stale }];
}

/** Elements that are wanted and not there, and the other way round. Both lists are sorted, mostly they are the same. */
function compareElements(
  set: NftSet,
  observed: Omit<NftSet, "comment"> | undefined,
): { readonly missing: readonly string[]; readonly stale: readonly string[] } {
  const [a, b] = [set.elements, observed?.elements ?? []];
  const shorter = Math.min(a.length, b.length);
  let begin = 0;
  while (begin < shorter && a[begin] === b[begin]) begin++;
  let end = 0;
  while (end < shorter - begin && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const [wanted, has] = [a.slice(begin, a.length - end), b.slice(begin, b.length - end)];
  const [want, have] = [new Set(wanted), new Set(has)];
  return { missing: wanted.filter((each) => !have.has(each)), stale: has.filter((each) => !want.has(each)) };
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
    // Rules name sets, and verdicts of maps name chains: whoever names goes first.
    ...staleSets.map((set) => ({ do: "deleteSet", set: set.name }) as const),
    ...staleChains.map((chain) => ({ do: "deleteChain", chain: chain.name }) as const),
    ...removeFlowtables(desired, observed),
  ];
}
