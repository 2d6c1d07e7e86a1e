/** Links: RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK (include/uapi/linux/if_link.h). */
import { attributes, bytes, ip, mac, message, struct, text, u8, u16be, u32 } from "../netlink/codec.ts";
import * as c from "../netlink/constants.ts";
import { NOT_FOUND } from "../netlink/error.ts";
import type { NetlinkMessage, NetlinkRequest } from "../netlink/socket.ts";
import type { Link, LinkChange, NewLink, PortSpan, VxlanParameters } from "./types.ts";

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const IFF_UP = 0x1;
const IFF_LOWER_UP = 0x10000;
/** Leaves the per-device statistics out of dumps: they are most of the bytes (RTEXT_FILTER_SKIP_STATS). */
const RTEXT_FILTER_SKIP_STATS = 8;

const ifinfo = struct({ family: "u8", pad: "u8", type: "u16", index: "s32", flags: "u32", change: "u32" });

const vxlanData = attributes({
  id: [1, u32],
  link: [3, u32],
  local: [4, ip],
  learning: [7, u8],
  sourcePorts: [10, bytes],
  port: [15, u16be],
  local6: [17, ip],
  udpChecksum: [18, u8],
  dontFragment: [29, u8],
});

/** VETH_INFO_PEER holds a whole link message: header, then attributes. */
const peerAttributes = attributes({
  mac: [1, mac],
  name: [3, text],
  mtu: [4, u32],
  namespaceFd: [28, u32],
  txQueues: [31, u32],
  rxQueues: [32, u32],
});
/**
 * The kernel gives a veth device a queue a CPU in each direction, and each queue a folder of sysfs files: on a large
 * machine that is much of what a pair costs. A veth device has no hardware to spread over: one is enough.
 */
const ONE_QUEUE = { txQueues: 1, rxQueues: 1 } as const;
const peerMessage = message(ifinfo, peerAttributes);

const linkInfo = attributes({ kind: [1, text], data: [2, bytes] });

const linkAttributes = attributes({
  mac: [1, mac],
  name: [3, text],
  mtu: [4, u32],
  link: [5, u32],
  master: [10, u32],
  linkInfo: [18, linkInfo],
  group: [27, u32],
  namespaceFd: [28, u32],
  extMask: [29, u32],
  txQueues: [31, u32],
  rxQueues: [32, u32],
});
const linkMessage = message(ifinfo, linkAttributes);

export function linksRequest(): NetlinkRequest {
  return {
    operation: "list",
    object: "links",
    type: RTM_GETLINK,
    flags: 0,
    body: (w) => linkMessage.write(w, {}, { extMask: RTEXT_FILTER_SKIP_STATS }),
  };
}

export function linkByNameRequest(name: string): NetlinkRequest {
  return {
    operation: "find",
    object: `link ${name}`,
    type: RTM_GETLINK,
    flags: 0,
    absent: NOT_FOUND,
    body: (w) => linkMessage.write(w, {}, { name, extMask: RTEXT_FILTER_SKIP_STATS }),
  };
}

export function createLinkRequest(link: NewLink): NetlinkRequest {
  const flags = link.up === true ? IFF_UP : 0;
  return {
    operation: "create",
    object: `${link.kind.type} ${link.name}`,
    type: RTM_NEWLINK,
    flags: c.NLM_F_CREATE | c.NLM_F_EXCL,
    body: (w) => {
      ifinfo.write(w, { index: link.index, flags, change: flags });
      const queues = link.kind.type === "veth" ? ONE_QUEUE : {};
      linkAttributes.write(w, { mac: link.mac, name: link.name, mtu: link.mtuBytes, master: link.master, ...queues });
      writeLinkInfo(w, link.kind);
    },
  };
}

const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;

type Writer = Parameters<NetlinkRequest["body"]>[0];

function writeLinkInfo(w: Writer, kind: NewLink["kind"]): void {
  const body = () => {
    w.attribute(IFLA_INFO_KIND, () => w.cstring(kind.type));
    if (kind.type === "vxlan" || kind.type === "veth") {
      w.attribute(IFLA_INFO_DATA, () => writeLinkData(w, kind), true);
    }
  };
  w.attribute(IFLA_LINKINFO, body, true);
}

function writeLinkData(w: Writer, kind: Extract<NewLink["kind"], { type: "vxlan" | "veth" }>): void {
  if (kind.type === "vxlan") {
    vxlanData.write(w, vxlanAttributes(kind.vxlan));
    return;
  }
  const { index, name, mac: address, mtuBytes, namespaceFd } = kind.peer;
  const values = { mac: address, name, mtu: mtuBytes, namespaceFd, ...ONE_QUEUE };
  const peer = () => peerMessage.write(w, { index }, values);
  w.attribute(VETH_INFO_PEER, peer, true);
}

function vxlanAttributes(vxlan: VxlanParameters) {
  const local = vxlan.local.includes(":") ? { local6: vxlan.local } : { local: vxlan.local };
  return {
    id: vxlan.vni,
    link: vxlan.underlayIndex,
    ...local,
    learning: vxlan.learning ? 1 : 0,
    sourcePorts: vxlan.sourcePorts === undefined ? undefined : writePortRange(vxlan.sourcePorts),
    port: vxlan.port,
    // The kernel's own default is a checksum.
    udpChecksum: vxlan.udpChecksum ? 1 : 0,
    // VXLAN_DF_SET
    dontFragment: vxlan.dontFragment === true ? 1 : undefined,
  };
}

/** struct ifla_vxlan_port_range: both in network order, and the kernel draws below `high` (udp_flow_src_port). */
function writePortRange({ first, last }: PortSpan): Uint8Array {
  const range = Buffer.alloc(4);
  range.writeUInt16BE(first, 0);
  range.writeUInt16BE(last + 1, 2);
  return range;
}

/** Zeros are the kernel's own choice. */
function readPortRange(data: Uint8Array | undefined): PortSpan | undefined {
  if (data === undefined || data.length < 4) return undefined;
  const range = Buffer.from(data);
  const [low, high] = [range.readUInt16BE(0), range.readUInt16BE(2)];
  return low === 0 && high === 0 ? undefined : { first: low, last: high - 1 };
}

export function changeLinkRequest(index: number, change: LinkChange, name = `link ${index}`): NetlinkRequest {
  const up = change.up === true ? IFF_UP : 0;
  return {
    operation: `set ${Object.keys(change).join(", ")} of`,
    object: name,
    type: RTM_NEWLINK,
    flags: 0,
    body: (w) =>
      linkMessage.write(
        w,
        { index, flags: up, change: change.up === undefined ? 0 : IFF_UP },
        {
          mac: change.mac,
          name: change.name,
          mtu: change.mtuBytes,
          master: change.master,
          group: change.group,
          namespaceFd: change.namespaceFd,
        },
      ),
  };
}

export function deleteLinkRequest(index: number): NetlinkRequest {
  return {
    operation: "delete",
    object: `link ${index}`,
    type: RTM_DELLINK,
    flags: 0,
    body: (w) => linkMessage.write(w, { index }, {}),
  };
}

export function deleteLinkGroupRequest(group: number): NetlinkRequest {
  return {
    operation: "delete",
    object: `links of group ${group}`,
    type: RTM_DELLINK,
    flags: 0,
    body: (w) => linkMessage.write(w, {}, { group }),
  };
}

export function decodeLink(received: NetlinkMessage): Link | undefined {
  if (received.type !== RTM_NEWLINK && received.type !== RTM_DELLINK) return undefined;
  const { header, values } = linkMessage.read(received.payload);
  // AF_BRIDGE port messages arrive in the link group too; they describe the port, not the link.
  if (header.family !== 0 || values.name === undefined) return undefined;
  return {
    index: header.index,
    name: values.name,
    kind: values.linkInfo?.kind,
    mac: values.mac,
    mtuBytes: values.mtu ?? 0,
    up: (header.flags & IFF_UP) !== 0,
    carrier: (header.flags & IFF_LOWER_UP) !== 0,
    group: values.group ?? 0,
    peerIndex: values.link,
    master: values.master,
    vxlan: values.linkInfo?.kind === "vxlan" ? decodeVxlan(values.linkInfo.data) : undefined,
  };
}

function decodeVxlan(data: Uint8Array | undefined): VxlanParameters | undefined {
  if (data === undefined) return undefined;
  const vxlan = vxlanData.read(Buffer.from(data));
  const sourcePorts = readPortRange(vxlan.sourcePorts);
  return {
    vni: vxlan.id ?? 0,
    local: vxlan.local ?? vxlan.local6 ?? "",
    port: vxlan.port ?? 0,
    underlayIndex: vxlan.link ?? 0,
    learning: vxlan.learning === 1,
    udpChecksum: vxlan.udpChecksum === 1,
    ...(sourcePorts === undefined ? {} : { sourcePorts }),
  };
}
