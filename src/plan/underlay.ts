/**
 * Which of the node's interfaces carries the cluster: the one that has the node's own InternalIP. Peers inside one of
 * its subnets are neighbours; all others are behind a router.
 */
import { type Family, type Ip, ipFamily } from "../model/ip.ts";
import { inSameSubnet } from "../model/prefix.ts";
import type { NodeFacts, NodeInterface } from "../model/state.ts";

export interface Underlay {
  readonly device: NodeInterface;
  /** The node's address on it. */
  readonly address: Ip;
}

/** The interface that holds one of these addresses, trying them in order; undefined when none does. */
export function findUnderlay(facts: NodeFacts, addresses: readonly Ip[]): Underlay | undefined {
  for (const address of addresses) {
    const device = facts.interfaces.find((candidate) => candidate.addresses.some((own) => own.address === address));
    if (device !== undefined) return { device, address };
  }
  return undefined;
}

/** True when the peer can be reached without a router: it lies in a subnet of the device. */
export function isOnLink(device: NodeInterface, peer: Ip): boolean {
  return device.addresses.some(({ address, length }) => inSameSubnet(address, peer, length));
}

/** The peer's address of a family, if it has one. */
export function addressOfFamily(addresses: readonly Ip[], family: Family): Ip | undefined {
  return addresses.find((address) => ipFamily(address) === family);
}
