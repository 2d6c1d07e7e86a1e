/**
 * The three accounts of a node's routes compared: what the API says each node has, what BIRD holds for the kernel (RIB), what
 * the kernel has of BIRD's (FIB). A prefix that the operator allowed beside pod CIDRs is in the last two alone.
 */
import type { BgpDifference } from "../../model/bgp-verification.ts";
import type { Ip } from "../../model/ip.ts";
import { comparePrefix, type Prefix } from "../../model/prefix.ts";
import type { PlannedPath } from "../../model/state.ts";

/** Where a route leads: next hops sorted, none for one that is unreachable. */
export type NextHops = readonly Ip[];

export interface Accounts {
  readonly paths: readonly PlannedPath[];
  readonly bird: ReadonlyMap<Prefix, NextHops>;
  readonly kernel: ReadonlyMap<Prefix, NextHops>;
}

/** @returns the prefixes on which they differ, sorted; empty where all agree */
export function compareAccounts({ paths, bird, kernel }: Accounts): BgpDifference[] {
  const api = new Map<Prefix, string>();
  for (const { node, mode, podCidrs } of paths) {
    // To other nodes this one has routes of its own.
    if (mode === "bgp") for (const prefix of podCidrs) api.set(prefix, `Node ${node}`);
  }
  const all = [...new Set([...api.keys(), ...bird.keys(), ...kernel.keys()])].sort(comparePrefix);
  return all.flatMap((prefix) => {
    const [wanted, held, installed] = [api.get(prefix), bird.get(prefix), kernel.get(prefix)];
    if (held !== undefined && held.join() === installed?.join()) return [];
    return [{ prefix, api: wanted ?? null, bird: describe(held), kernel: describe(installed) }];
  });
}

function describe(hops: NextHops | undefined): string | null {
  if (hops === undefined) return null;
  return hops.length === 0 ? "unreachable" : `via ${hops.join(", ")}`;
}
