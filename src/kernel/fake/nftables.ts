/** nftables of one namespace in memory, with its failures and its log. */
import type { NftSet } from "../../model/nft.ts";
import type {
  Nftables,
  NftChange,
  NftTableName,
  ObservedCounter,
  ObservedElement,
  ObservedTable,
} from "../nfnetlink/types.ts";
import type { Supervision } from "./supervision.ts";
import type { TableStore } from "./table-store.ts";

export class FakeNftables implements Nftables {
  readonly #store: TableStore;
  readonly #supervision: Supervision;

  constructor(store: TableStore, supervision: Supervision) {
    this.#store = store;
    this.#supervision = supervision;
  }

  [Symbol.dispose](): void {}

  table(name: NftTableName): ObservedTable | undefined {
    const table = this.#read(name);
    // What packets made is no part of a table.
    return table && { ...table, sets: table.sets.map((set) => (set.dynamic ? { ...set, elements: [] } : set)) };
  }

  #read(name: NftTableName): ObservedTable | undefined {
    const purpose = { operation: "read nftables table", object: `${name.family} ${name.name}` };
    return this.#supervision.list("table", purpose, () => this.#store.read(name));
  }

  async tableInPieces(name: NftTableName): Promise<ObservedTable | undefined> {
    return this.table(name);
  }

  elements(name: NftTableName, { name: set }: Pick<NftSet, "name">): ObservedElement[] {
    const found = this.#read(name)?.sets.find((each) => each.name === set);
    return (found?.elements ?? []).map((element) => {
      const [text = "", endsInMs] = element.split(/ timeout (?:\d+ms expires )?(\d+)ms$/);
      return endsInMs === undefined ? { text } : { text, endsInMs: Number(endsInMs) };
    });
  }

  counters(name: NftTableName, chains: readonly string[]): ObservedCounter[] {
    const purpose = { operation: "read nftables table", object: `${name.family} ${name.name}` };
    return this.#supervision.list("counters", purpose, () => this.#store.counters(name, chains));
  }

  commit(table: NftTableName, changes: readonly NftChange[]): void {
    if (changes.length === 0) return;
    const steps = changes.map((change) => change.do).join(", ");
    const purpose = { operation: "commit to nftables table", object: `${table.family} ${table.name}: ${steps}` };
    this.#supervision.run("commit", purpose, () => this.#store.commit(table, changes, this));
  }

  watch(table: NftTableName, changed: () => void): Disposable {
    return this.#store.watch(table, this, changed);
  }
}
