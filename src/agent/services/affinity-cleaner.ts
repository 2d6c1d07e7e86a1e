/**
 * Clients with session affinity remember an endpoint for hours. When it is gone they have to choose again: what they
 * remember is deleted, once no packet can choose that endpoint any more.
 */
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import { isBreakwaterError } from "../../model/errors.ts";
import type { Frontend } from "../../model/frontend.ts";
import type { Family } from "../../model/ip.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { NftSet } from "../../model/nft.ts";
import { elementFamily } from "../../plan/services/ledger.ts";
import { planServiceSets } from "../../plan/services/table.ts";

/**
 * @param keys frontends that lost an endpoint
 * @returns how many clients have to choose again
 * @throws BreakwaterError BW_NETLINK, BW_NFTABLES
 */
export function forgetClients(
  nftables: Nftables,
  keys: readonly string[],
  frontend: (key: string) => Frontend | undefined,
): number {
  let forgotten = 0;
  for (const family of [4, 6] as const) {
    const affected = new Set(keys.filter((key) => elementFamily(key) === family));
    if (affected.size > 0) forgotten += forgetFamily(nftables, family, affected, frontend);
  }
  return forgotten;
}

function forgetFamily(
  nftables: Nftables,
  family: Family,
  affected: ReadonlySet<string>,
  frontend: (key: string) => Frontend | undefined,
): number {
  const set = planServiceSets(family, false).find(({ name }) => name === "affinity") as NftSet;
  const table = SERVICE_TABLES[family];
  const isGone = (text: string) => {
    const { key, endpoint } = parseAffinity(text);
    if (!affected.has(key)) return false;
    const now = frontend(key);
    return now === undefined || !(now.endpoints.includes(endpoint) || now.outside?.includes(endpoint) === true);
  };
  const gone = nftables
    .elements(table, set)
    .map(({ text }) => text)
    .filter(isGone);
  for (const element of gone) {
    try {
      nftables.commit(table, [{ do: "deleteElements", set, elements: [element] }]);
    } catch (error) {
      // It ended by itself meanwhile.
      if (!isBreakwaterError(error) || error.errno !== "ENOENT") throw error;
    }
  }
  return gone.length;
}

/** `CLIENT . ADDRESS . PROTOCOL . PORT : ENDPOINT . PORT`. */
function parseAffinity(text: string): { key: string; endpoint: string } {
  const at = text.indexOf(" : ");
  return { key: text.slice(text.indexOf(" . ") + 3, at), endpoint: text.slice(at + 3) };
}
