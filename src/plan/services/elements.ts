/**
 * What a frontend is in the node's nftables table: elements of maps and sets. Slots, the numbers that endpoints have in
 * a map, are no part of a plan: any order serves, and `src/diff` keeps the one that the kernel has.
 */
import type { Frontend } from "../../model/frontend.ts";
import { affinityChain, lbChain, localAffinityChain, localChain, rememberChain, USUAL_ENDPOINTS } from "./chains.ts";
import { clientChain } from "./client-chains.ts";

/** Sets and maps in which a frontend has one element at most. */
export const SINGLE_SETS = ["services", "outside", "external", "affine", "guarded", "refused"] as const;
export type SingleSet = (typeof SINGLE_SETS)[number];

export interface FrontendElements {
  /** Whole element texts. */
  readonly single: Readonly<Partial<Record<SingleSet, string>>>;
  /** Elements of `source-ranges`. */
  readonly ranges: readonly string[];
  /** Data of `endpoints` and `outside-endpoints`; the element of slot i is `KEY . i : DATA`. */
  readonly endpoints: readonly string[];
  readonly outsideEndpoints: readonly string[];
}

/** Endpoints that the map `endpoints` has to hold: where IPVS serves, none. */
export function mapEndpoints({ endpoints, ipvs }: Pick<Frontend, "endpoints" | "ipvs">): readonly string[] {
  return ipvs === undefined ? endpoints : [];
}

/** Whether rules behind the translation have to remember clients: IPVS remembers its own, chains of IPv6 do it before. */
function remembers({ family, affinitySeconds, endpoints, outside = [], ipvs }: Frontend): boolean {
  return family === 4 && affinitySeconds !== undefined && (ipvs === undefined ? endpoints : outside).length > 0;
}

/** The frontend's elements, endpoints in slots by their order. */
export function frontendElements(frontend: Frontend): FrontendElements {
  const { key, endpoints, outside, kind, sourceRanges } = frontend;
  const single: Partial<Record<SingleSet, string>> = {};
  const verdict = mainVerdict(frontend);
  if (verdict !== undefined) single.services = `${key} comment "${comment(frontend)}" : ${verdict}`;
  if (outside !== undefined) single.outside = `${key} : ${outsideVerdict(frontend, outside.length)}`;
  if (kind !== "ClusterIP" && verdict !== undefined) {
    single.external = `${key} : goto ${frontend.keepsSource ? "hide-own-source" : "hide-source"}`;
  }
  if (frontend.affinitySeconds !== undefined && remembers(frontend)) {
    single.affine = `${key} : jump ${rememberChain(frontend.affinitySeconds)}`;
  }
  if (sourceRanges !== undefined) single.guarded = key;
  // An address of a cluster is refused by another set where nothing serves it; one that is not has to be named.
  if (kind !== "ClusterIP" && endpoints.length === 0 && frontend.otherwise === "reject") single.refused = key;
  return {
    single,
    ranges: (sourceRanges ?? []).map((range) => `${key} . ${range}`),
    endpoints: mapEndpoints(frontend),
    outsideEndpoints: outside ?? [],
  };
}

function mainVerdict({ endpoints, otherwise, ipvs, ...frontend }: Frontend): string | undefined {
  if (endpoints.length === 0) return otherwise === "drop" ? "drop" : undefined;
  // It goes on to where IPVS looks at it.
  if (ipvs !== undefined) return "accept";
  return `goto ${chainOf(frontend, endpoints.length)}`;
}

function outsideVerdict(frontend: Frontend, count: number): string {
  return count === 0 ? "drop" : `goto ${outsideChainOf(frontend, count)}`;
}

type Chosen = Pick<Frontend, "family" | "protocol" | "affinitySeconds">;

/** The chain that chooses among so many endpoints. */
function chainOf({ family, protocol, affinitySeconds }: Chosen, count: number): string {
  if (affinitySeconds === undefined) return lbChain(count);
  return family === 4 ? affinityChain(count) : clientChain("", protocol, affinitySeconds, count);
}

function outsideChainOf({ family, protocol, affinitySeconds }: Chosen, count: number): string {
  if (affinitySeconds === undefined) return localChain(count);
  return family === 4 ? localAffinityChain(count) : clientChain("outside-", protocol, affinitySeconds, count);
}

/** What `nft list ruleset` prints behind the element; the kernel keeps 127 bytes. */
function comment({ service, kind }: Frontend): string {
  return `${kind} ${service}`.slice(0, 127);
}

/**
 * Chains and rules that the frontend's elements rely on, by name, beside those that are always there:
 * {@link planServiceChains} makes them.
 */
export function frontendNeeds({ endpoints, outside, ...frontend }: Frontend): string[] {
  const needs: string[] = [];
  const { family, affinitySeconds, sourceRanges, protocol, kind } = frontend;
  const isSticky = affinitySeconds !== undefined;
  const inMaps = frontend.ipvs === undefined ? endpoints.length : 0;
  // Chains of IPv4 look for the client alone, and go on to the one that chooses.
  const isInMap = isSticky && family === 4;
  if (inMaps > USUAL_ENDPOINTS) needs.push(lbChain(inMaps));
  if (inMaps > 0 && isSticky) needs.push(chainOf(frontend, inMaps));
  if (isInMap && (frontend.ipvs === undefined || outside !== undefined))
    needs.push(rememberChain(affinitySeconds), `affinity:${protocol}`);
  if (outside !== undefined) needs.push("outside");
  if (outside !== undefined && outside.length > 0) {
    needs.push(outsideChainOf(frontend, outside.length));
    if (isInMap) needs.push(localChain(outside.length));
  }
  if (kind !== "ClusterIP") needs.push(`external:${protocol}`);
  if (sourceRanges !== undefined) needs.push("guard");
  if (kind !== "ClusterIP" && endpoints.length === 0 && frontend.otherwise === "reject") needs.push("refuse");
  return needs;
}
