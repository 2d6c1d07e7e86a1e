/**
 * Neighbours (ARP, ND) and VXLAN forwarding entries: both are RTM_NEWNEIGH messages (include/uapi/linux/neighbour.h);
 * family AF_BRIDGE with NTF_SELF makes it a forwarding entry of the VXLAN device itself.
 */
import type { Ip } from "../../model/ip.ts";
import { attributes, ip, mac, message, struct } from "../netlink/codec.ts";
import * as c from "../netlink/constants.ts";
import type { NetlinkMessage, NetlinkRequest } from "../netlink/socket.ts";
import { AF_INET, AF_INET6, familyNumber } from "./address.ts";
import type { FdbEntry, Neighbour } from "./types.ts";

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const AF_BRIDGE = 7;
const NUD_PERMANENT = 0x80;
/** States in which the entry leads nowhere: NUD_INCOMPLETE, NUD_FAILED. */
const NUD_UNUSABLE = 0x01 | 0x20;
const NTF_SELF = 0x02;
const NTF_ROUTER = 0x80;

const ndmsg = struct({ family: "u8", pad1: "u8", pad2: "u16", index: "s32", state: "u16", flags: "u8", type: "u8" });
const neighbourMessage = message(ndmsg, attributes({ destination: [1, ip], mac: [2, mac] }));

export function neighboursRequest(): NetlinkRequest {
  return {
    operation: "list",
    object: "neighbours",
    type: RTM_GETNEIGH,
    flags: 0,
    body: (w) => neighbourMessage.write(w, {}, {}),
  };
}

export function fdbRequest(): NetlinkRequest {
  return {
    operation: "list",
    object: "forwarding entries",
    type: RTM_GETNEIGH,
    flags: 0,
    body: (w) => neighbourMessage.write(w, { family: AF_BRIDGE }, {}),
  };
}

export function setNeighbourRequest(neighbour: { index: number; ip: string; mac: string }): NetlinkRequest {
  const header = {
    family: familyNumber(neighbour.ip),
    index: neighbour.index,
    state: NUD_PERMANENT,
    flags: routerFlag(neighbour.ip),
  };
  return {
    operation: "set neighbour",
    object: `${neighbour.ip} at ${neighbour.mac} on link ${neighbour.index}`,
    type: RTM_NEWNEIGH,
    flags: c.NLM_F_CREATE | c.NLM_F_REPLACE,
    body: (w) => neighbourMessage.write(w, header, { destination: neighbour.ip, mac: neighbour.mac }),
  };
}

/**
 * Permanent link-local entries are next hops: the gateway of a pod, the tunnel ends of other nodes. The kernel's garbage
 * collector throws away every path MTU that was learned through a next hop which is not marked as a router, within half a
 * minute instead of ten (rt6_age_examine_exception, net/ipv6/route.c). One that is found by ND marks itself (RFC 4861, 4.4).
 */
function routerFlag(ip: Ip): number {
  return ip.startsWith("fe80:") ? NTF_ROUTER : 0;
}

export function deleteNeighbourRequest(neighbour: { index: number; ip: string }): NetlinkRequest {
  const header = { family: familyNumber(neighbour.ip), index: neighbour.index };
  return {
    operation: "delete neighbour",
    object: `${neighbour.ip} on link ${neighbour.index}`,
    type: RTM_DELNEIGH,
    flags: 0,
    body: (w) => neighbourMessage.write(w, header, { destination: neighbour.ip }),
  };
}

function fdbChange(entry: FdbEntry, operation: string, type: number, flags: number): NetlinkRequest {
  const header = { family: AF_BRIDGE, index: entry.index, state: NUD_PERMANENT, flags: NTF_SELF };
  return {
    operation,
    object: `${entry.mac} to ${entry.destination} on link ${entry.index}`,
    type,
    flags,
    body: (w) => neighbourMessage.write(w, header, { mac: entry.mac, destination: entry.destination }),
  };
}

export function setFdbRequest(entry: FdbEntry): NetlinkRequest {
  return fdbChange(entry, "set forwarding entry", RTM_NEWNEIGH, c.NLM_F_CREATE | c.NLM_F_REPLACE);
}

export function deleteFdbRequest(entry: FdbEntry): NetlinkRequest {
  return fdbChange(entry, "delete forwarding entry", RTM_DELNEIGH, 0);
}

export function decodeNeighbour(received: NetlinkMessage): Neighbour | undefined {
  if (received.type !== RTM_NEWNEIGH && received.type !== RTM_DELNEIGH) return undefined;
  const { header, values } = neighbourMessage.read(received.payload);
  if (header.family !== AF_INET && header.family !== AF_INET6) return undefined;
  if (values.destination === undefined) return undefined;
  return {
    index: header.index,
    ip: values.destination,
    mac: (header.state & NUD_UNUSABLE) === 0 ? values.mac : undefined,
    permanent: (header.state & NUD_PERMANENT) !== 0,
  };
}

export function decodeFdb(received: NetlinkMessage): FdbEntry | undefined {
  if (received.type !== RTM_NEWNEIGH && received.type !== RTM_DELNEIGH) return undefined;
  const { header, values } = neighbourMessage.read(received.payload);
  if (header.family !== AF_BRIDGE || values.mac === undefined || values.destination === undefined) return undefined;
  return { index: header.index, mac: values.mac, destination: values.destination };
}
