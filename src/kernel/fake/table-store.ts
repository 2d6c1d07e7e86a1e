/**
 * nftables of one namespace in memory. A transaction works on a copy and takes its place only when every step succeeded;
 * whoever watches a table is told on a later turn of the loop.
 */
import type { NftRule, NftTable } from "../../model/nft.ts";
import type { NftChange, NftTableName, ObservedCounter, ObservedTable } from "../../model/nft-changes.ts";
import { type FlowtableSurroundings, withoutDevice } from "./flowtables.ts";
import { applyNftChange, type FakeTable, observeTable } from "./nft-steps.ts";

interface TableWatch {
  readonly key: string;
  readonly owner: object;
  readonly changed: () => void;
}

/** What a rule's counter says. */
interface Count {
  readonly handle: bigint;
  packets: bigint;
  bytes: bigint;
}

export class TableStore {
  readonly #surroundings: FlowtableSurroundings;
  #tables: ReadonlyMap<string, FakeTable> = new Map();
  readonly #watches = new Set<TableWatch>();
  #scheduled = new Set<TableWatch>();
  readonly #counts = new WeakMap<NftRule, Count[]>();
  #nextHandle = 1n;

  constructor(surroundings: FlowtableSurroundings) {
    this.#surroundings = surroundings;
  }

  read(name: NftTableName): ObservedTable | undefined {
    const table = this.#tables.get(keyOf(name));
    return table && observeTable(name, table);
  }

  /** With the rules themselves: what the real kernel's answer does not tell. */
  whole({ family, name }: NftTableName): NftTable | undefined {
    const table = this.#tables.get(keyOf({ family, name }));
    if (table === undefined) return undefined;
    const chains = Array.from(table.chains, ([chain, { base, rules }]) => ({
      name: chain,
      ...(base === undefined ? {} : { base }),
      rules,
    }));
    return { family, name, sets: [...table.sets.values()], chains };
  }

  counters(name: NftTableName, chains: readonly string[]): ObservedCounter[] {
    return chains.flatMap((chain) => this.#countsOf(name, chain).map((count) => ({ chain, ...count })));
  }

  /** Packets went through a chain, past each of its counters. @throws RangeError where it has none */
  count(name: NftTableName, chain: string, packets: bigint, bytes: bigint): void {
    const counts = this.#countsOf(name, chain);
    if (counts.length === 0) throw new RangeError(`Nothing counts in chain ${chain} of ${keyOf(name)}`);
    for (const count of counts) {
      count.packets += packets;
      count.bytes += bytes;
    }
  }

  #countsOf(name: NftTableName, chain: string): Count[] {
    const rules = this.#tables.get(keyOf(name))?.chains.get(chain)?.rules ?? [];
    return rules.flatMap((rule) => {
      const counters = rule.statements.filter((statement) => "counter" in statement);
      const handle = this.#nextHandle++;
      const counts = this.#counts.get(rule) ?? counters.map(() => ({ handle, packets: 0n, bytes: 0n }));
      this.#counts.set(rule, counts);
      return counts;
    });
  }

  names(): string[] {
    return [...this.#tables.keys()];
  }

  /** @param owner who commits: its own watches are not told */
  commit(name: NftTableName, changes: readonly NftChange[], owner: object): void {
    const key = keyOf(name);
    let table = this.#tables.get(key);
    for (const change of changes) table = applyNftChange(name, table, change, this.#surroundings);
    const tables = new Map(this.#tables);
    if (table === undefined) tables.delete(key);
    else tables.set(key, table);
    this.#tables = tables;
    for (const watch of this.#watches) if (watch.key === key && watch.owner !== owner) this.#tell(watch);
  }

  /** A link was deleted. */
  forgetDevice(device: string): void {
    const entries = Array.from(this.#tables, ([key, table]): [string, FakeTable] => [
      key,
      { ...table, flowtables: withoutDevice(table.flowtables, device) },
    ]);
    this.#tables = new Map(entries);
  }

  watch(name: NftTableName, owner: object, changed: () => void): Disposable {
    const watch = { key: keyOf(name), owner, changed };
    this.#watches.add(watch);
    return { [Symbol.dispose]: () => void this.#watches.delete(watch) };
  }

  get idle(): boolean {
    return this.#scheduled.size === 0;
  }

  #tell(watch: TableWatch): void {
    if (this.#scheduled.has(watch)) return;
    this.#scheduled.add(watch);
    setImmediate(() => {
      this.#scheduled.delete(watch);
      if (this.#watches.has(watch)) watch.changed();
    });
  }
}

function keyOf({ family, name }: NftTableName): string {
  return `${family} ${name}`;
}
