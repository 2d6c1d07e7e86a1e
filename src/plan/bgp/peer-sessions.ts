/**
 * Sessions with the operator's peers (BGPPeer). Taken from them: pod CIDRs of other nodes, and what the peer's importAllow
 * names. Never: a default route, or anything inside the node's own pod CIDRs.
 */
import {
  BGP_PORT,
  type BgpPeerSpec,
  type BgpSession,
  DEFAULT_MAX_PREFIXES,
  DEFAULT_RESTART_SECONDS,
  LONGEST_PASSWORD_BYTES,
} from "../../model/bgp.ts";
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import { comparePrefix } from "../../model/prefix.ts";
import type { NodeInterface, Problem } from "../../model/state.ts";
import { addressOfFamily, isOnLink } from "../underlay.ts";
import { type BgpInput, podFamilies, type SessionPlan } from "./input.ts";
import { protocolName } from "./names.ts";

export function planPeerSession(input: BgpInput, peer: BgpPeerSpec): SessionPlan {
  const { settings, passwords } = input;
  const local = localAddress(input, peer);
  if (local === undefined) return { problem: offLink(input, peer) };
  const password = passwords.get(peer.name);
  const refused =
    peer.passwordSecret === undefined
      ? undefined
      : passwordProblem(peer, password, input.withoutPassword?.get(peer.name));
  if (refused !== undefined) return { problem: refused };
  const localAsNumber = peer.localAsNumber ?? settings.asNumber;
  const isInternal = localAsNumber === peer.asNumber;
  const session: BgpSession = {
    protocol: protocolName("peer", peer.name),
    kind: "peer",
    peer: peer.name,
    address: peer.address,
    asNumber: peer.asNumber,
    port: peer.port ?? BGP_PORT,
    local,
    localAsNumber,
    localPort: settings.listenPort,
    nextHops: nextHops(input, local),
    ...(peer.multihop === undefined ? {} : { multihop: peer.multihop }),
    ttlSecurity: peer.ttlSecurity ?? false,
    bfd: peer.bfd ?? false,
    ...(peer.passwordSecret === undefined || password === undefined ? {} : { password }),
    restartSeconds: peer.gracefulRestart ?? DEFAULT_RESTART_SECONDS,
    reflectorClient: false,
    import: { pods: true, exact: [], within: [...peer.importAllow].sort(comparePrefix) },
    importLimit: peer.maxPrefixes ?? DEFAULT_MAX_PREFIXES,
    ...(peer.localPreference === undefined ? {} : { localPreference: peer.localPreference }),
    export: { pods: false, exact: [], within: [...peer.exportAllow].sort(comparePrefix) },
    communities: [...settings.communities, ...(peer.communities ?? [])],
    // LOCAL_PREF goes to peers of the same AS alone (RFC 4271, section 5.1.5).
    ...(isInternal && settings.localPreference !== undefined ? { announcedPreference: settings.localPreference } : {}),
    allowOwnAs: peer.allowOwnAs ?? 0,
  };
  return { session };
}

/** Our end: on the subnet that both share; towards a peer some hops away the node's own address. */
function localAddress({ own, facts }: BgpInput, { address, multihop }: BgpPeerSpec): Ip | undefined {
  const isOwn = facts.interfaces.some((device) => device.addresses.some((each) => each.address === address));
  if (isOwn) return undefined;
  if (multihop !== undefined) return addressOfFamily(own.internalIps, ipFamily(address));
  const device = facts.interfaces.find((candidate) => isOnLink(candidate, address));
  return device === undefined ? undefined : addressInSubnet(device, own.internalIps, address);
}

/** The InternalIP where it is on that device. */
function addressInSubnet(device: NodeInterface, preferred: readonly Ip[], peer: Ip): Ip | undefined {
  const near = device.addresses.filter((each) => isOnLink({ ...device, addresses: [each] }, peer));
  return (near.find(({ address }) => preferred.includes(address)) ?? near[0])?.address;
}

/** Where the peer is to send: to our end of the session, and for the other family to that device's address. */
function nextHops({ own, facts, state }: BgpInput, local: Ip): { family: Family; address: Ip }[] {
  const device = facts.interfaces.find(({ addresses }) => addresses.some(({ address }) => address === local));
  const there = (device?.addresses ?? []).map(({ address }) => address);
  const candidates = [local, ...own.internalIps.filter((address) => there.includes(address)), ...own.internalIps];
  return podFamilies(state).flatMap((family) => {
    const address = addressOfFamily(candidates, family);
    return address === undefined ? [] : [{ family, address }];
  });
}

function passwordProblem(
  peer: BgpPeerSpec,
  password: string | undefined,
  why: string | undefined,
): Problem | undefined {
  const { name, key } = peer.passwordSecret ?? { name: "", key: "" };
  const problem = (cause: string, remedy: string): Problem => ({
    code: "BW_BGP_PASSWORD",
    object: `BGPPeer ${peer.name}`,
    message: `BGPPeer ${peer.name} has no session: ${cause}`,
    remedy,
  });
  if (password === undefined) {
    return problem(
      why ?? `Secret ${name} with the key ${key} cannot be read`,
      `Make it: kubectl create secret generic ${name}`,
    );
  }
  // BIRD's strings have no escapes, and the kernel's key has its end.
  if (password === "" || /["\r\n\0]/.test(password) || Buffer.byteLength(password) > LONGEST_PASSWORD_BYTES) {
    return problem(
      `the password in key ${key} of Secret ${name} is empty, too long, or has characters that BIRD does not take`,
      `Choose one of 1 to ${LONGEST_PASSWORD_BYTES} bytes without quotes and line ends`,
    );
  }
  return undefined;
}

function offLink({ own }: BgpInput, { name, address, multihop }: BgpPeerSpec): Problem {
  const why =
    multihop === undefined
      ? `${address} is on no subnet of node ${own.name}, or is its own`
      : "it has no address of that family";
  return {
    code: "BW_BGP_PEER_ADDRESS",
    object: `BGPPeer ${name}`,
    message: `BGPPeer ${name} has no session with node ${own.name}: ${why}`,
    remedy: "Correct its address or which nodes it selects; where routers are between, say so with multihop",
  };
}
