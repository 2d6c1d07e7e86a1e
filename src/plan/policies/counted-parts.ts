/** What a table consists of, each part once, followed at the price of what comes and goes: chains, maps of ports, sets of peers. */
import type { NftChain, NftSet } from "../../model/nft.ts";
import type { CompiledChain } from "./chains.ts";
import type { LiveSet } from "./live-set.ts";
import type { PeerSets } from "./peer-sets.ts";

export interface Difference<T> {
  readonly wanted: readonly T[];
  readonly before: readonly T[];
}

/** Values by name, as long as somebody has them, which know what changed since they were last asked. */
export class CountedParts<T> {
  readonly #entries = new Map<string, { value: T; count: number }>();
  /** What was there when it was last asked; undefined: nothing. */
  #touched = new Map<string, T | undefined>();

  /** The last value of a name counts: chains keep their names when their policies say something else. */
  add(name: string, value: T): void {
    const known = this.#entries.get(name);
    if (known === undefined) {
      this.#touch(name, undefined);
      this.#entries.set(name, { value, count: 1 });
      return;
    }
    known.count++;
    if (known.value === value) return;
    this.#touch(name, known.value);
    known.value = value;
  }

  remove(name: string): void {
    const known = this.#entries.get(name);
    if (known === undefined) throw new RangeError(`Nobody has ${name}`);
    if (--known.count > 0) return;
    this.#touch(name, known.value);
    this.#entries.delete(name);
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  values(): T[] {
    return Array.from(this.#entries.values(), ({ value }) => value);
  }

  /** What came, went or is another since this was last asked: what is wanted now, and what was there. */
  taken(isSame: (a: T, b: T) => boolean): Difference<T> {
    const [wanted, before]: [T[], T[]] = [[], []];
    for (const [name, old] of this.#touched) {
      const now = this.#entries.get(name)?.value;
      if (now === old || (now !== undefined && old !== undefined && isSame(now, old))) continue;
      if (now !== undefined) wanted.push(now);
      if (old !== undefined) before.push(old);
    }
    if (this.#touched.size > 0) this.#touched = new Map();
    return { wanted, before };
  }

  #touch(name: string, before: T | undefined): void {
    if (!this.#touched.has(name)) this.#touched.set(name, before);
  }
}

/** Parts of the compiled chains that are in use, whichever direction they are of. */
export class TableParts {
  readonly chains = new CountedParts<NftChain>();
  /** From ports to chains, and sets of ports. */
  readonly maps = new CountedParts<NftSet>();
  readonly peers = new CountedParts<LiveSet>();
  /** By the chain that drops: the policies that leave it no choice. */
  readonly #denials = new CountedParts<readonly [chain: string, policies: readonly string[]]>();
  readonly #sets: PeerSets;
  readonly #uses = new Map<CompiledChain, number>();

  constructor(sets: PeerSets) {
    this.#sets = sets;
  }

  get denials(): ReadonlyMap<string, readonly string[]> {
    return new Map(this.#denials.values());
  }

  use(compiled: CompiledChain): void {
    const uses = this.#uses.get(compiled) ?? 0;
    this.#uses.set(compiled, uses + 1);
    if (uses > 0) return;
    for (const chain of compiled.chains) this.chains.add(chain.name, chain);
    for (const map of compiled.maps) this.maps.add(map.name, map);
    for (const name of compiled.sets) this.peers.add(name, this.#sets.get(name));
    for (const denial of compiled.denials) this.#denials.add(denial[0], denial);
  }

  /** @returns whether nobody uses it any more */
  release(compiled: CompiledChain): boolean {
    const uses = (this.#uses.get(compiled) ?? 0) - 1;
    if (uses > 0) {
      this.#uses.set(compiled, uses);
      return false;
    }
    this.#uses.delete(compiled);
    for (const { name } of compiled.chains) this.chains.remove(name);
    for (const { name } of compiled.maps) this.maps.remove(name);
    for (const name of compiled.sets) this.peers.remove(name);
    for (const name of compiled.denials.keys()) this.#denials.remove(name);
    return true;
  }
}
