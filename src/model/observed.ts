/** What the kernel of a node has of ours, as the diff reads it. Maps are keyed by the functions below. */
import type { Address, FdbEntry, Link, Neighbour, Route } from "./kernel-objects.ts";
import type { ObservedTable } from "./nft-changes.ts";

export interface Observed {
  /** All links of the node by name; the diff touches only ours. */
  readonly links: ReadonlyMap<string, Link>;
  readonly linksByIndex: ReadonlyMap<number, Link>;
  /** MTU of the pods' own ends, by the name of the host end; absent where nobody has looked. */
  readonly podEndMtus: ReadonlyMap<string, number>;
  /** Addresses of all links by {@link addressKey}. */
  readonly addresses: ReadonlyMap<string, Address>;
  /** Routes with our protocol number in the main table, by destination. */
  readonly routes: ReadonlyMap<string, Route>;
  /** Destinations of BIRD's routes, where some of ours lead to nodes whose routes are to be BGP's. */
  readonly learned?: ReadonlySet<string>;
  /** Permanent neighbours of our links by {@link neighbourKey}. */
  readonly neighbours: ReadonlyMap<string, Neighbour>;
  /** Forwarding entries of our links by {@link fdbKey}. */
  readonly fdb: ReadonlyMap<string, FdbEntry>;
  /** Current values of the sysctls that the plan names; absent where the kernel has none. */
  readonly sysctls: ReadonlyMap<string, string>;
  /** Whether the features that the plan names are on, by {@link featureKey}; undefined where the kernel cannot say. */
  readonly features: ReadonlyMap<string, boolean> | undefined;
  /** Our nftables table; undefined when there is none. */
  readonly nft: ObservedTable | undefined;
}

export function addressKey(address: {
  readonly index: number;
  readonly address: string;
  readonly length: number;
}): string {
  return `${address.index} ${address.address}/${address.length}`;
}

export function featureKey({ device, name }: { readonly device: string; readonly name: string }): string {
  return `${device} ${name}`;
}

export function neighbourKey(neighbour: { readonly index: number; readonly ip: string }): string {
  return `${neighbour.index} ${neighbour.ip}`;
}

/**
 * A unicast MAC leads to one destination: the kernel replaces the old one and announces the new one alone. Group MACs and
 * the all-zero default have a list of them.
 */
export function fdbKey(entry: { readonly index: number; readonly mac: string; readonly destination: string }): string {
  const { index, mac, destination } = entry;
  return hasOneDestination(mac) ? `${index} ${mac}` : `${index} ${mac} ${destination}`;
}

/** False for what floods: group addresses (IEEE 802: bit 0 of the first octet) and 00:00:00:00:00:00. */
function hasOneDestination(mac: string): boolean {
  const isGroup = "13579bdf".includes(mac.charAt(1));
  return !isGroup && mac !== "00:00:00:00:00:00";
}
