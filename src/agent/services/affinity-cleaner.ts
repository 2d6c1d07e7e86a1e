/**
 * Clients with session affinity remember an endpoint for hours. When it is gone they have to choose again: what they
 * remember is deleted, once no packet can choose that endpoint any more.
 */
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import { isBreakwaterError } from "../../model/errors.ts";
import type { Frontend } from "../../model/frontend.ts";
import type { Family, Ip } from "../../model/ip.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { NftSet } from "../../model/nft.ts";
import { elementFamily } from "../../plan/services/ledger.ts";
import { planServiceSets } from "../../plan/services/table.ts";

/** What is remembered of IPv6's clients names no endpoint: src/agent/services/remembered-clients.ts. */
const FAMILY = 4;
/** Elements that are deleted in one transaction. */
const AT_ONCE = 1000;

/**
 * @param keys frontends that lost an endpoint; those of IPv6 are left out
 * @param isInside true for addresses of this node and of its pods
 * @returns how many clients have to choose again
 * @throws BreakwaterError BW_NETLINK, BW_NFTABLES
 */
export function forgetClients(
  nftables: Nftables,
  keys: readonly string[],
  frontend: (key: string) => Frontend | undefined,
  isInside: (client: Ip) => boolean,
): number {
  const affected = new Set(keys.filter((key) => elementFamily(key) === FAMILY));
  if (affected.size === 0) return 0;
  const isGone = (text: string) => {
    const { client, key, endpoint } = parseAffinity(text);
    if (!affected.has(key)) return false;
    const now = frontend(key);
    // Who is outside has endpoints of its own under externalTrafficPolicy Local.
    return !(now?.outside === undefined || isInside(client) ? now?.endpoints : now.outside)?.includes(endpoint);
  };
  const set = planServiceSets(FAMILY, false).find(({ name }) => name === "affinity") as NftSet;
  const gone = nftables
    .elements(SERVICE_TABLES[FAMILY], set)
    .map(({ text }) => text)
    .filter(isGone);
  deleteClients(nftables, FAMILY, set, gone);
  return gone.length;
}

/** Deletes elements that packets made, also where some have ended meanwhile. @throws BreakwaterError BW_NFTABLES */
export function deleteClients(nftables: Nftables, family: Family, set: NftSet, elements: readonly string[]): void {
  const forget = (some: readonly string[]) =>
    ignoreMissing(() => nftables.commit(SERVICE_TABLES[family], [{ do: "deleteElements", set, elements: some }]));
  for (let i = 0; i < elements.length; i += AT_ONCE) {
    const some = elements.slice(i, i + AT_ONCE);
    // One that ended by itself meanwhile keeps the others from being deleted with it.
    if (!forget(some)) for (const element of some) forget([element]);
  }
}

/** @returns false when something was not there */
function ignoreMissing(body: () => void): boolean {
  try {
    body();
    return true;
  } catch (error) {
    if (!isBreakwaterError(error) || error.errno !== "ENOENT") throw error;
    return false;
  }
}

/** `CLIENT . ADDRESS . PROTOCOL . PORT : ENDPOINT . PORT`. */
function parseAffinity(text: string): { client: Ip; key: string; endpoint: string } {
  const [dot, at] = [text.indexOf(" . "), text.indexOf(" : ")];
  return { client: text.slice(0, dot), key: text.slice(dot + 3, at), endpoint: text.slice(at + 3) };
}
