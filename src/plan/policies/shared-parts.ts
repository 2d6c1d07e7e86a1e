/** What the compiled chains of a direction consist of, each part once, followed at the price of the chains that come and go. */
import type { NftChain, NftSet } from "../../model/nft.ts";
import type { CompiledChain } from "./chains.ts";

export interface SharedLists {
  readonly chains: readonly NftChain[];
  readonly maps: readonly NftSet[];
  /** Names of sets of peers. */
  readonly peerSets: readonly string[];
}

export class SharedParts {
  #used: ReadonlySet<CompiledChain> = new Set();
  /** Equal names, equal chains: pods share them, as long as policies stay what they are. */
  readonly #chains = new Counted<NftChain>();
  readonly #peerSets = new Counted<string>();
  #lists: SharedLists = { chains: [], maps: [], peerSets: [] };

  /** @returns the very lists of the last time while the same chains are in use */
  follow(compiled: Iterable<CompiledChain>): SharedLists {
    const [before, used] = [this.#used, new Set(compiled)];
    const gone = [...before].filter((chain) => !used.has(chain));
    const come = [...used].filter((chain) => !before.has(chain));
    if (gone.length + come.length === 0) return this.#lists;
    this.#used = used;
    for (const { chains, sets } of come) {
      for (const chain of chains) this.#chains.add(chain.name, chain);
      for (const name of new Set(sets)) this.#peerSets.add(name, name);
    }
    for (const { chains, sets } of gone) {
      for (const { name } of chains) this.#chains.remove(name);
      for (const name of new Set(sets)) this.#peerSets.remove(name);
    }
    this.#lists = {
      chains: this.#chains.values(),
      maps: [...used].flatMap(({ maps }) => maps),
      peerSets: this.#peerSets.values(),
    };
    return this.#lists;
  }
}

/** Values by name, as long as somebody has them. */
class Counted<T> {
  readonly #entries = new Map<string, { readonly value: T; count: number }>();

  /** The last value of a name counts: chains keep their names when their policies say something else. */
  add(name: string, value: T): void {
    this.#entries.set(name, { value, count: (this.#entries.get(name)?.count ?? 0) + 1 });
  }

  remove(name: string): void {
    const known = this.#entries.get(name);
    if (known !== undefined && --known.count === 0) this.#entries.delete(name);
  }

  values(): readonly T[] {
    return Array.from(this.#entries.values(), ({ value }) => value);
  }
}
