/**
 * Commands of IPVS as generic netlink carries them: enum ip_vs_... of include/uapi/linux/ip_vs.h, and what
 * ip_vs_genl_parse_service() and ip_vs_genl_parse_dest() of net/netfilter/ipvs/ip_vs_ctl.c ask for.
 */
import { type Family, type Ip, ipBytes, ipFamily, ipFromBytes } from "../../model/ip.ts";
import {
  formatIpvsChange,
  formatServerKey,
  IPVS_KERNEL_FLAGS,
  type IpvsChange,
  type IpvsDestination,
  type IpvsServer,
  type ObservedDestination,
  parseFrontendKey,
} from "../../model/ipvs.ts";
import { attributes, bytes, s32, text, u16, u16be, u32 } from "../netlink/codec.ts";
import { NLM_F_DUMP } from "../netlink/constants.ts";
import type { GenericAnswer, GenericCommand } from "./genetlink-socket.ts";

/** One virtual server. Those that go by a firewall mark have no address. */
export interface VirtualServer {
  readonly family: Family;
  /** IPPROTO_ number; absent with a mark. */
  readonly protocol?: number;
  readonly address?: Ip;
  readonly port?: number;
  readonly mark?: number;
  /** How it balances, of those that go by TCP, UDP or SCTP. */
  readonly server?: IpvsServer;
}

const COMMAND = {
  addServer: 1,
  changeServer: 2,
  deleteServer: 3,
  listServers: 4,
  addDestination: 5,
  changeDestination: 6,
  deleteDestination: 7,
  listDestinations: 8,
  setTimeouts: 12,
  getTimeouts: 13,
} as const;

const AF = { 4: 2, 6: 10 } as const;
const PROTOCOL = { tcp: 6, udp: 17, sctp: 132 } as const;
/** union nf_inet_addr: an IPv4 address stands in the first 4 bytes. */
const ADDRESS_BYTES = 16;
/** IP_VS_CONN_F_MASQ: the destination is translated, and answers on their way back. */
const FORWARD_MASQUERADE = 0;
/** A client is one address: a mask of IPv4, in network order; of IPv6 the length of a prefix. */
const ONE_CLIENT = { 4: 0xffffffff, 6: 128 } as const;

const service = attributes({
  family: [1, u16],
  protocol: [2, u16],
  address: [3, bytes],
  port: [4, u16be],
  mark: [5, u32],
  scheduler: [6, text],
  // struct ip_vs_flags: the bits, and which of them count.
  flags: [7, bytes],
  timeoutSeconds: [8, u32],
  netmask: [9, u32],
});
const destination = attributes({
  address: [1, bytes],
  port: [2, u16be],
  forward: [3, u32],
  weight: [4, s32],
  upperThreshold: [5, u32],
  lowerThreshold: [6, u32],
  active: [7, u32],
  inactive: [8, u32],
  family: [11, u16],
});
const body = attributes({
  service: [1, service],
  destination: [2, destination],
  // IPVS_CMD_ATTR_TIMEOUT_TCP
  tcpTimeoutSeconds: [4, u32],
});

export function listCommand(): GenericCommand {
  return {
    operation: "list",
    object: "virtual servers of IPVS",
    command: COMMAND.listServers,
    flags: NLM_F_DUMP,
    body: () => undefined,
  };
}

export function destinationsCommand(key: string): GenericCommand {
  return {
    operation: "list",
    object: `destinations of virtual server ${formatServerKey(key)}`,
    command: COMMAND.listDestinations,
    flags: NLM_F_DUMP,
    body: (w) => body.write(w, { service: keyAttributes(key) }),
  };
}

/** How long a silent connection is remembered: ip_vs_set_timeout() leaves alone what is not named. */
export function setTcpTimeoutCommand(seconds: number): GenericCommand {
  return {
    operation: "set",
    object: `timeout of IPVS's TCP connections, ${seconds} s`,
    command: COMMAND.setTimeouts,
    body: (w) => body.write(w, { tcpTimeoutSeconds: seconds }),
  };
}

export function getTimeoutsCommand(): GenericCommand {
  return {
    operation: "read",
    object: "timeouts of IPVS",
    command: COMMAND.getTimeouts,
    body: () => undefined,
  };
}

export function decodeTcpTimeout({ payload }: Pick<GenericAnswer, "payload">): number | undefined {
  return body.read(payload).tcpTimeoutSeconds;
}

export function deleteCommand(server: VirtualServer): GenericCommand {
  return {
    operation: "delete",
    object: `virtual server ${formatServer(server)}`,
    command: COMMAND.deleteServer,
    body: (w) => body.write(w, { service: nameAttributes(server) }),
  };
}

export function changeCommand(change: IpvsChange): GenericCommand {
  const sentence = formatIpvsChange(change);
  const space = sentence.indexOf(" ");
  return {
    operation: sentence.slice(0, space),
    object: sentence.slice(space + 1),
    command: COMMAND[change.do],
    body: (w) => body.write(w, changeAttributes(change)),
  };
}

function changeAttributes(change: IpvsChange) {
  if ("server" in change) return { service: serverAttributes(change.server) };
  if (change.do === "deleteServer") return { service: keyAttributes(change.key) };
  const isWhole = change.do !== "deleteDestination";
  return { service: keyAttributes(change.key), destination: destinationAttributes(change.destination, isWhole) };
}

function keyAttributes(key: string) {
  const { family, address, protocol, port } = parseFrontendKey(key);
  return { family: AF[family], protocol: PROTOCOL[protocol], address: addressUnion(address), port };
}

function nameAttributes({ family, protocol, address, port, mark }: VirtualServer) {
  if (mark !== undefined) return { family: AF[family], mark };
  return { family: AF[family], protocol, address: addressUnion(address), port };
}

function serverAttributes({ key, scheduler, flags, timeoutSeconds }: IpvsServer) {
  const { family } = parseFrontendKey(key);
  const both = Buffer.alloc(8);
  both.writeUInt32LE(flags, 0);
  both.writeUInt32LE(~IPVS_KERNEL_FLAGS >>> 0, 4);
  return { ...keyAttributes(key), scheduler, flags: both, timeoutSeconds, netmask: ONE_CLIENT[family] };
}

function destinationAttributes({ endpoint, weight }: IpvsDestination, isWhole: boolean) {
  const [address = "", port] = endpoint.split(" . ");
  const name = { address: addressUnion(address), port: Number(port) };
  const family = address.includes(":") ? AF[6] : AF[4];
  if (!isWhole) return { ...name, family };
  return { ...name, forward: FORWARD_MASQUERADE, weight, upperThreshold: 0, lowerThreshold: 0, family };
}

function addressUnion(address: string | undefined): Buffer {
  const union = Buffer.alloc(ADDRESS_BYTES);
  if (address !== undefined) union.set(ipBytes(address));
  return union;
}

function fromUnion(union: Uint8Array, family: Family): string {
  return ipFromBytes(Buffer.from(union).subarray(0, family === 4 ? 4 : ADDRESS_BYTES));
}

function familyOf(number: number | undefined): Family | undefined {
  return number === AF[4] ? 4 : number === AF[6] ? 6 : undefined;
}

/** Undefined for what is no virtual server that can be named. */
export function decodeServer({ payload }: Pick<GenericAnswer, "payload">): VirtualServer | undefined {
  const values = body.read(payload).service;
  const family = familyOf(values?.family);
  if (values === undefined || family === undefined) return undefined;
  const { protocol, address: union, port, mark } = values;
  if (mark !== undefined) return { family, mark };
  if (protocol === undefined || union === undefined || port === undefined) return undefined;
  const address = fromUnion(union, family);
  const name = Object.entries(PROTOCOL).find(([, number]) => number === protocol)?.[0];
  const named = { family, protocol, address, port };
  const { scheduler, flags, timeoutSeconds = 0 } = values;
  if (name === undefined || scheduler === undefined || flags === undefined || flags.length < 4) return named;
  const bits = (Buffer.from(flags).readUInt32LE(0) & ~IPVS_KERNEL_FLAGS) >>> 0;
  return { ...named, server: { key: `${address} . ${name} . ${port}`, scheduler, flags: bits, timeoutSeconds } };
}

export function decodeDestination({ payload }: Pick<GenericAnswer, "payload">): ObservedDestination | undefined {
  const values = body.read(payload).destination;
  const { address: union, port, weight, active = 0, inactive = 0 } = values ?? {};
  // Kernels before 3.18 name no family: their destinations are of the server's, and only IPv4 ends in zeros.
  const family = familyOf(values?.family) ?? 4;
  if (union === undefined || port === undefined || weight === undefined) return undefined;
  return { endpoint: `${fromUnion(union, family)} . ${port}`, weight, connections: active + inactive };
}

/** "TCP 10.96.0.1:443", "TCP [fd00::1]:443", "mark 7" */
export function formatServer({ protocol, address = "", port, mark }: VirtualServer): string {
  if (mark !== undefined) return `mark ${mark}`;
  const name = { 6: "TCP", 17: "UDP", 132: "SCTP" }[protocol ?? 0] ?? `protocol ${protocol}`;
  return `${name} ${address !== "" && ipFamily(address) === 6 ? `[${address}]` : address}:${port}`;
}
