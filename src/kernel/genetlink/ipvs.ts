/** Virtual servers of IPVS over generic netlink: include/uapi/linux/ip_vs.h. */
import { type Family, type Ip, ipBytes, ipFamily, ipFromBytes } from "../../model/ip.ts";
import { attributes, bytes, u16, u16be, u32 } from "../netlink/codec.ts";
import { type GenericAnswer, type GenericCommand, type GenericFamily, GenericNetlink } from "./genetlink-socket.ts";

/** One virtual server. Those that go by a firewall mark have no address. */
export interface VirtualServer {
  readonly family: Family;
  /** IPPROTO_ number; absent with a mark. */
  readonly protocol?: number;
  readonly address?: Ip;
  readonly port?: number;
  readonly mark?: number;
}

/** IPVS of one namespace. */
export interface Ipvs extends Disposable {
  virtualServers(): VirtualServer[];
  /** @throws BreakwaterError BW_NETLINK; errno ESRCH when there is none */
  deleteVirtualServer(server: VirtualServer): void;
}

const FAMILY_NAME = "IPVS";
const IPVS_CMD_DEL_SERVICE = 3;
const IPVS_CMD_GET_SERVICE = 4;
const AF = { 4: 2, 6: 10 } as const;
/** union nf_inet_addr: an IPv4 address stands in the first 4 bytes. */
const ADDRESS_BYTES = 16;

const service = attributes({
  family: [1, u16],
  protocol: [2, u16],
  address: [3, bytes],
  port: [4, u16be],
  mark: [5, u32],
});
const serviceMessage = attributes({ service: [1, service] });

/** Undefined when the kernel has no IPVS now: the list of families is read, for asking by name would load the module. */
export function openIpvs(): Ipvs | undefined {
  const generic = new GenericNetlink();
  const family = generic.families().find(({ name }) => name === FAMILY_NAME);
  if (family !== undefined) return new IpvsSocket(generic, family);
  generic[Symbol.dispose]();
  return undefined;
}

class IpvsSocket implements Ipvs {
  readonly #generic: GenericNetlink;
  readonly #family: GenericFamily;

  constructor(generic: GenericNetlink, family: GenericFamily) {
    this.#generic = generic;
    this.#family = family;
  }

  [Symbol.dispose](): void {
    this.#generic[Symbol.dispose]();
  }

  virtualServers(): VirtualServer[] {
    return this.#generic.dump(this.#family, listCommand(), decodeServer).filter((server) => server !== undefined);
  }

  deleteVirtualServer(server: VirtualServer): void {
    this.#generic.request(this.#family, deleteCommand(server));
  }
}

export function listCommand(): GenericCommand {
  const NLM_F_DUMP = 0x300;
  return {
    operation: "list",
    object: "virtual servers of IPVS",
    command: IPVS_CMD_GET_SERVICE,
    flags: NLM_F_DUMP,
    body: () => undefined,
  };
}

export function deleteCommand(server: VirtualServer): GenericCommand {
  return {
    operation: "delete",
    object: `virtual server ${formatServer(server)}`,
    command: IPVS_CMD_DEL_SERVICE,
    body: (w) => serviceMessage.write(w, { service: encodeServer(server) }),
  };
}

function encodeServer({ family, protocol, address, port, mark }: VirtualServer) {
  if (mark !== undefined) return { family: AF[family], mark };
  const union = Buffer.alloc(ADDRESS_BYTES);
  if (address !== undefined) union.set(ipBytes(address));
  return { family: AF[family], protocol, address: union, port };
}

export function decodeServer({ payload }: Pick<GenericAnswer, "payload">): VirtualServer | undefined {
  const values = serviceMessage.read(payload).service;
  const family = values?.family === AF[4] ? 4 : values?.family === AF[6] ? 6 : undefined;
  if (values === undefined || family === undefined) return undefined;
  const { protocol, address, port, mark } = values;
  if (mark !== undefined) return { family, mark };
  if (protocol === undefined || address === undefined || port === undefined) return undefined;
  const ip = ipFromBytes(Buffer.from(address).subarray(0, family === 4 ? 4 : ADDRESS_BYTES));
  return { family, protocol, address: ip, port };
}

/** "TCP 10.96.0.1:443", "TCP [fd00::1]:443", "mark 7" */
export function formatServer({ protocol, address = "", port, mark }: VirtualServer): string {
  if (mark !== undefined) return `mark ${mark}`;
  const name = { 6: "TCP", 17: "UDP", 132: "SCTP" }[protocol ?? 0] ?? `protocol ${protocol}`;
  return `${name} ${address !== "" && ipFamily(address) === 6 ? `[${address}]` : address}:${port}`;
}
