/** The interface to nftables of one network namespace: nft-socket.ts is the real kernel, fake/ the one in memory. */
import type { NftSet } from "../../model/nft.ts";
import type {
  NftChange,
  NftTableName,
  ObservedCounter,
  ObservedElement,
  ObservedTable,
} from "../../model/nft-changes.ts";

export * from "../../model/nft-changes.ts";

export interface Nftables extends Disposable {
  /** Reads one table, or undefined when there is none. Other people's tables are never read. */
  table(name: NftTableName): ObservedTable | undefined;
  /**
   * The same in pieces, for tables of many elements: others run between them. One at a time.
   * @throws BreakwaterError BW_NETLINK_DUMP when the table never stood still
   */
  tableInPieces(name: NftTableName): Promise<ObservedTable | undefined>;
  /** Elements of one set or map, also those that packets made, with their counters; none where there is no such set. */
  elements(table: NftTableName, set: Omit<NftSet, "elements">): readonly ObservedElement[];
  /** Counters of the rules of these chains, in their order; no other chain is read. One that is not there has none. */
  counters(table: NftTableName, chains: readonly string[]): readonly ObservedCounter[];
  /**
   * Commits all changes to one table atomically. @throws BreakwaterError BW_NFTABLES with the first step that the
   * kernel refused; then nothing has changed.
   */
  commit(table: NftTableName, changes: readonly NftChange[]): void;
  /** Calls `changed` when somebody else touched the table, until disposed. */
  watch(table: NftTableName, changed: () => void): Disposable;
}
