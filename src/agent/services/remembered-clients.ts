/**
 * Clients of IPv6 that the kernel remembers by slots (src/plan/services/client-chains.ts): with a transaction that moves an
 * endpoint to another slot its clients move, and behind one that takes an endpoint away its clients are forgotten.
 *
 * Who comes between the moment when the clients are read and the transaction is not among them. That does no harm: he
 * chooses again at his next connection, or goes on to the endpoint that is behind his slot now. So do those that could not
 * be forgotten. A slot that nobody is looked up in any more leads nowhere.
 */
import {
  type ClientChanges,
  type ClientElement,
  disturbsClients,
  moveClients,
  type RememberedClient,
} from "../../diff/clients.ts";
import type { ObservedFrontend } from "../../diff/services.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import { isBreakwaterError } from "../../model/errors.ts";
import type { Family, Ip } from "../../model/ip.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { NftSet } from "../../model/nft.ts";
import type { NftChange } from "../../model/nft-changes.ts";
import type { ClientSetName } from "../../plan/services/client-chains.ts";
import { planServiceSets } from "../../plan/services/table.ts";
import { deleteClients } from "./affinity-cleaner.ts";

const NONE: ClientChanges = { come: [], go: [] };

export class RememberedClients {
  readonly #nftables: Nftables;
  readonly #family: Family;
  readonly #sets: ReadonlyMap<string, NftSet>;
  /** Of what is remembered nobody has looked at anything yet. */
  #isUnknown = false;
  /** What is to be forgotten: by set and element. */
  #go = new Map<string, ClientElement>();

  constructor(nftables: Nftables, family: Family) {
    this.#nftables = nftables;
    this.#family = family;
    const sets = planServiceSets(family, false).filter(({ name }) => name.includes("clients-"));
    this.#sets = new Map(sets.map((set) => [set.name, set]));
  }

  /** Whoever was here before may have left some that nobody needs: the next transaction looks at all. */
  suspect(): void {
    this.#isUnknown = true;
  }

  get hasForgettable(): boolean {
    return this.#go.size > 0;
  }

  /**
   * What becomes of clients with a transaction; they are read only where it touches any.
   * @param before what the kernel has
   * @param after what changes of it
   * @throws BreakwaterError BW_NETLINK
   */
  plan(
    before: ReadonlyMap<string, ObservedFrontend>,
    after: ReadonlyMap<string, ObservedFrontend | undefined>,
    isInside: (client: Ip) => boolean,
  ): ClientChanges {
    const sets = this.#isUnknown ? [...this.#sets] : this.#touched(before, after);
    if (sets.length === 0) return NONE;
    const now = (key: string) => before.get(key);
    return moveClients(this.#read(sets), now, (key) => (after.has(key) ? after.get(key) : now(key)), isInside);
  }

  /** The kernel has no index of them, and takes seconds for a hundred thousand: sets of other protocols are left alone. */
  #touched(
    before: ReadonlyMap<string, ObservedFrontend>,
    after: ReadonlyMap<string, ObservedFrontend | undefined>,
  ): [string, NftSet][] {
    if (this.#sets.size === 0) return [];
    const touched = [...after].filter(([key, then]) => disturbsClients(before.get(key), then));
    const protocols = new Set(touched.map(([key]) => key.split(" . ")[1]));
    return [...this.#sets].filter(([name]) => protocols.has(name.split("clients-")[1]));
  }

  #read(sets: readonly [string, NftSet][]): RememberedClient[] {
    const clients: RememberedClient[] = [];
    for (const [name, set] of sets) {
      for (const { text, endsInMs = 0 } of this.#nftables.elements(SERVICE_TABLES[this.#family], set)) {
        clients.push({ set: name as ClientSetName, text, endsInMs });
      }
    }
    return clients;
  }

  /** Commits the changes together with the clients that move. @throws BreakwaterError BW_NFTABLES */
  commit(changes: readonly NftChange[], { come, go }: ClientChanges): void {
    const moved = [...Map.groupBy(come, ({ set }) => set)].map(([name, all]) => ({
      do: "addElements" as const,
      set: this.#sets.get(name) as NftSet,
      elements: all.map(({ element }) => element),
    }));
    const table = SERVICE_TABLES[this.#family];
    try {
      if (changes.length + moved.length > 0) this.#nftables.commit(table, [...changes, ...moved]);
    } catch (error) {
      // Endpoints count more than who had which: where a set is full, its clients choose again.
      if (moved.length === 0 || !isBreakwaterError(error) || error.errno !== "ENFILE") throw error;
      if (changes.length > 0) this.#nftables.commit(table, changes);
    }
    this.#isUnknown = false;
    for (const { set, element } of come) this.#go.delete(`${set} ${element.replace(/ timeout .*$/, "")}`);
    for (const each of go) this.#go.set(`${each.set} ${each.element}`, each);
  }

  /** Behind the transactions. @returns how many have to choose again, or chose among others @throws BreakwaterError */
  forget(): number {
    const all = [...this.#go.values()];
    for (const [name, some] of Map.groupBy(all, ({ set }) => set)) {
      const elements = some.map(({ element }) => element);
      deleteClients(this.#nftables, this.#family, this.#sets.get(name) as NftSet, elements);
    }
    this.#go.clear();
    return all.length;
  }
}
