/** nftables tables that a fault puts into a machine of the lab, and takes out again. */
import { openNftables } from "../../kernel/nfnetlink/nft-socket.ts";
import type { NftChange, NftTableName } from "../../kernel/nfnetlink/types.ts";
import type { NftRule, NftTable } from "../../model/nft.ts";
import type { LabHost } from "../underlay/host.ts";

/** Puts a table into a host and returns what takes it out again. */
export function withTable(host: Pick<LabHost, "run">, table: NftTable): () => Promise<void> {
  replaceTable(host, table);
  return async () => removeTable(host, table);
}

/** Puts a table into a host, in the place of one of its name. */
export function replaceTable(host: Pick<LabHost, "run">, table: NftTable): void {
  const changes: NftChange[] = [
    { do: "addTable" },
    ...table.chains.map((chain) => ({ do: "addChain", chain }) as const),
    ...table.chains.flatMap((chain) =>
      chain.rules.map((rule) => ({ do: "addRule", chain: chain.name, rule }) as const),
    ),
  ];
  host.run(() => {
    using nft = openNftables();
    if (nft.table(table) !== undefined) changes.unshift({ do: "deleteTable" });
    nft.commit(table, changes);
  });
}

/** Nothing happens where there is no such table. */
export function removeTable(host: Pick<LabHost, "run">, { family, name }: NftTableName): void {
  host.run(() => {
    using nft = openNftables();
    if (nft.table({ family, name }) !== undefined) nft.commit({ family, name }, [{ do: "deleteTable" }]);
  });
}

/** A table of one chain, which comes before all others of its hook. */
export function filterTable(
  name: string,
  family: NftTable["family"],
  hook: "prerouting" | "forward" | "output",
  rules: readonly NftRule[],
): NftTable {
  const base = { type: "filter", hook, priority: -300, policy: "accept" } as const;
  return { family, name, sets: [], chains: [{ name: hook, base, rules }] };
}
