/** Messages of ctnetlink: IPCTNL_MSG_CT_GET and _DELETE (include/uapi/linux/netfilter/nfnetlink_conntrack.h). */
import {
  type ConntrackEntry,
  type ConntrackFilter,
  type ConntrackTuple,
  formatConntrackTuple,
  type TupleFilter,
} from "../../model/conntrack.ts";
import type { Family } from "../../model/ip.ts";
import { attributes, ip, message, struct, u8, u16be, u32, u32be } from "../netlink/codec.ts";
import type { NetlinkMessage, NetlinkRequest } from "../netlink/socket.ts";
import { NFNL_SUBSYS_CTNETLINK } from "../nfnetlink/constants.ts";

const CT_NEW = (NFNL_SUBSYS_CTNETLINK << 8) | 0;
const CT_GET = (NFNL_SUBSYS_CTNETLINK << 8) | 1;
const CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2;
const AF: Record<Family, number> = { 4: 2, 6: 10 };
const IPPROTO_ICMPV6 = 58;

const nfgen = struct({ family: "u8", version: "u8", resourceId: "u16be" });
const addresses = attributes({ source4: [1, ip], destination4: [2, ip], source6: [3, ip], destination6: [4, ip] });
const transport = attributes({
  protocol: [1, u8],
  sourcePort: [2, u16be],
  destinationPort: [3, u16be],
  icmpId: [4, u16be],
  icmpType: [5, u8],
  icmpCode: [6, u8],
  icmp6Id: [7, u16be],
  icmp6Type: [8, u8],
  icmp6Code: [9, u8],
});
const tupleAttributes = attributes({ ip: [1, addresses], transport: [2, transport] });
const filterFlags = attributes({ original: [1, u32], reply: [2, u32] });
const conntrack = message(
  nfgen,
  attributes({
    original: [1, tupleAttributes],
    reply: [2, tupleAttributes],
    status: [3, u32be],
    timeout: [7, u32be],
    mark: [8, u32be],
    id: [12, u32be],
    zone: [18, u16be],
    filter: [25, filterFlags],
  }),
);

/** CTA_FILTER_F_ bits of net/netfilter/nf_conntrack_netlink.c: which fields of a tuple are compared. */
const FLAG = { source: 1 << 0, destination: 1 << 1, protocol: 1 << 3, sourcePort: 1 << 4, destinationPort: 1 << 5 };

/**
 * True when the kernel can be left to compare. Of IPv6 addresses it finds all but the one that is asked for
 * (ctnetlink_filter_match_tuple() takes ipv6_addr_cmp() for equality, up to 6.18 at least): those are compared here.
 */
export function kernelCompares({ family, original, reply }: ConntrackFilter): boolean {
  if (family === 4) return true;
  return [original, reply].every((tuple) => tuple?.source === undefined && tuple?.destination === undefined);
}

/** True when the entry is meant by the filter. @throws RangeError for a filter that names nothing */
export function matchesFilter(entry: ConntrackEntry, filter: ConntrackFilter): boolean {
  checkFilter(filter);
  if (entry.family !== filter.family) return false;
  return (["original", "reply"] as const).every((direction) => {
    const wanted = filter[direction];
    return Object.entries(wanted ?? {}).every(
      ([name, value]) => value === undefined || entry[direction][name as keyof TupleFilter] === value,
    );
  });
}

/** All entries of both families; those of one family, or fewer, with a filter: {@link matchesFilter} says which. */
export function listRequest(filter: ConntrackFilter | undefined): NetlinkRequest {
  const purpose = { operation: "list", object: "tracked connections", type: CT_GET, flags: 0 };
  if (filter === undefined) return { ...purpose, body: (w) => conntrack.write(w, {}, {}) };
  checkFilter(filter);
  const object = `tracked connections with ${formatFilter(filter)}`;
  if (kernelCompares(filter)) return { ...purpose, object, body: filterBody(filter) };
  return { ...purpose, object, body: (w) => conntrack.write(w, { family: AF[filter.family] }, {}) };
}

export function listFamilyRequest(family: Family): NetlinkRequest {
  const object = `tracked connections of IPv${family}`;
  const body: NetlinkRequest["body"] = (w) => conntrack.write(w, { family: AF[family] }, {});
  return { operation: "list", object, type: CT_GET, flags: 0, body };
}

/** Deletes the entry with this tuple, and only when its id is this one too (ENOENT otherwise). */
export function deleteRequest(entry: Pick<ConntrackEntry, "family" | "original" | "id" | "zone">): NetlinkRequest {
  const { family, original, id, zone } = entry;
  return {
    operation: "delete",
    object: `tracked connection ${formatConntrackTuple(original)}`,
    type: CT_DELETE,
    flags: 0,
    body: (w) =>
      conntrack.write(
        w,
        { family: AF[family] },
        { original: tupleValues(family, original), id, zone: zone === 0 ? undefined : zone },
      ),
  };
}

/** Deletes what matches, inside the kernel (since 5.8). @throws RangeError for a filter that it must not be given */
export function deleteMatchingRequest(filter: ConntrackFilter): NetlinkRequest {
  checkFilter(filter);
  if (!kernelCompares(filter)) throw new RangeError("The kernel cannot compare IPv6 addresses of tracked connections");
  return {
    operation: "delete",
    object: `tracked connections with ${formatFilter(filter)}`,
    type: CT_DELETE,
    flags: 0,
    body: filterBody(filter),
  };
}

/** A CT_DELETE that compares nothing empties the table: no type allows it, and no value shall. */
function checkFilter({ original, reply }: ConntrackFilter): void {
  if (flagsOf(original) === 0 && flagsOf(reply) === 0) {
    throw new RangeError("A filter of tracked connections must name an address or a protocol");
  }
}

function filterBody({ family, original, reply }: ConntrackFilter): NetlinkRequest["body"] {
  const values = {
    original: original && tupleValues(family, original),
    reply: reply && tupleValues(family, reply),
    filter: { original: flagsOf(original), reply: flagsOf(reply) },
  };
  return (w) => conntrack.write(w, { family: AF[family] }, values);
}

function flagsOf(filter: TupleFilter | undefined): number {
  let flags = 0;
  for (const [name, flag] of Object.entries(FLAG)) {
    if (filter?.[name as keyof typeof FLAG] !== undefined) flags |= flag;
  }
  return flags;
}

function tupleValues(family: Family, tuple: Partial<ConntrackTuple>): TupleValues {
  const { source, destination, protocol, sourcePort, destinationPort, icmp } = tuple;
  const v6 = protocol === IPPROTO_ICMPV6;
  const echo =
    icmp &&
    (v6
      ? { icmp6Id: icmp.id, icmp6Type: icmp.type, icmp6Code: icmp.code }
      : { icmpId: icmp.id, icmpType: icmp.type, icmpCode: icmp.code });
  const hasAddress = source !== undefined || destination !== undefined;
  const own =
    family === 4 ? { source4: source, destination4: destination } : { source6: source, destination6: destination };
  return {
    ip: hasAddress ? own : undefined,
    transport: protocol === undefined ? undefined : { protocol, sourcePort, destinationPort, ...echo },
  };
}

type TupleValues = ReturnType<typeof tupleAttributes.read>;

export function decodeEntry(received: NetlinkMessage): ConntrackEntry | undefined {
  if (received.type !== CT_NEW) return undefined;
  const { header, values } = conntrack.read(received.payload);
  const original = readTuple(values.original);
  const reply = readTuple(values.reply);
  if (original === undefined || reply === undefined) return undefined;
  return {
    family: header.family === AF[4] ? 4 : 6,
    original,
    reply,
    id: values.id ?? 0,
    status: values.status ?? 0,
    timeoutSeconds: values.timeout ?? 0,
    mark: values.mark ?? 0,
    zone: values.zone ?? 0,
  };
}

function readTuple(tuple: TupleValues | undefined): ConntrackTuple | undefined {
  const source = tuple?.ip?.source4 ?? tuple?.ip?.source6;
  const destination = tuple?.ip?.destination4 ?? tuple?.ip?.destination6;
  const values = tuple?.transport;
  if (source === undefined || destination === undefined || values?.protocol === undefined) return undefined;
  const { protocol, sourcePort, destinationPort } = values;
  const type = values.icmpType ?? values.icmp6Type;
  const code = values.icmpCode ?? values.icmp6Code ?? 0;
  const icmp = type === undefined ? undefined : { type, code, id: values.icmpId ?? values.icmp6Id ?? 0 };
  return { source, destination, protocol, sourcePort, destinationPort, icmp };
}

function formatFilter({ original, reply }: ConntrackFilter): string {
  const words = (filter: TupleFilter | undefined, direction: string) =>
    Object.entries(filter ?? {}).map(([name, value]) => `${direction} ${name} ${value}`);
  return [...words(original, "original"), ...words(reply, "reply")].join(", ");
}
