/**
 * Sets of ip_set (not those of nf_tables): listing and destroying them by nfnetlink, as ipset(8) does
 * (include/uapi/linux/netfilter/ipset/ip_set.h).
 */
import * as fs from "node:fs";
import { BreakwaterError, isBreakwaterError } from "../../model/errors.ts";
import { attributes, type Codec, listOf, message, struct, text, u8, u16be, u32be } from "../netlink/codec.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { type NetlinkMessage, type NetlinkRequest, NetlinkSocket } from "../netlink/socket.ts";

export interface Ipset {
  readonly name: string;
  /** How many rules and other sets use it. */
  readonly references: number;
}

/** A member of a set of ports: bitmap:port, or the port part of hash:ip,port. */
export interface IpsetPort {
  /** IPPROTO_ number; absent in a set that has ports alone. */
  readonly protocol?: number;
  readonly first: number;
  readonly last: number;
}

/** Sets of one namespace. */
export interface Ipsets extends Disposable {
  sets(): Ipset[];
  /** The ports in a set; none when there is no such set. */
  ports(name: string): IpsetPort[];
  /** @throws BreakwaterError BW_NETLINK: errno ENOENT when there is none, EBUSY while a rule or another set uses it */
  destroy(name: string): void;
}

const NFNL_SUBSYS_IPSET = 6;
const IPSET_CMD_DESTROY = 3;
const IPSET_CMD_LIST = 7;
/** Every kernel since 2.6.39 takes this version. */
const IPSET_PROTOCOL = 6;
/** IPSET_FLAG_LIST_HEADER: without the members. */
const LIST_HEADER = 4;
/** IPSET_ERR_BUSY of the kernel's own numbers behind IPSET_ERR_PRIVATE. */
const IPSET_ERR_BUSY = "E4100";
/** NFPROTO_IPV4: the family of the message; sets have their own. */
const FAMILY = 2;

const nfgen = struct({ family: "u8", version: "u8", resourceId: "u16be" });
const port: Codec<number> = u16be;
const member = attributes({ port: [4, port], lastPort: [5, port], protocol: [7, u8] });
const header = attributes({ references: [25, u32be] });
const setMessage = message(
  nfgen,
  attributes({
    protocol: [1, u8],
    name: [2, text],
    flags: [6, u32be],
    header: [7, header],
    members: [8, listOf(7, member)],
  }),
);

/**
 * Whether the kernel has ip_set: asking by netlink would load its module.
 * @param root for tests
 */
export function hasIpsets(root = "/"): boolean {
  return fs.existsSync(`${root}sys/module/ip_set`);
}

/** Opens the sets of the calling thread's network namespace. Loads ip_set: see {@link hasIpsets}. */
export function openIpsets(): Ipsets {
  return new IpsetSocket();
}

class IpsetSocket implements Ipsets {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  sets(): Ipset[] {
    const lists = this.#socket.dump(setsRequest(), decodeSet);
    // A set with members too many for one message is told in several, the first with its header.
    return lists.filter(({ name }, i) => lists.findIndex((other) => other.name === name) === i);
  }

  ports(name: string): IpsetPort[] {
    try {
      return this.#socket.dump(portsRequest(name), decodePorts).flat();
    } catch (error) {
      if (isBreakwaterError(error) && error.errno === "ENOENT") return [];
      throw error;
    }
  }

  destroy(name: string): void {
    try {
      this.#socket.request(destroyRequest(name));
    } catch (error) {
      throw isBreakwaterError(error) && error.errno === IPSET_ERR_BUSY ? inUse(name, error) : error;
    }
  }
}

export function setsRequest(): NetlinkRequest {
  return request(IPSET_CMD_LIST, "list", "sets of ip_set", { flags: LIST_HEADER });
}

export function portsRequest(name: string): NetlinkRequest {
  return request(IPSET_CMD_LIST, "list", `members of ipset ${name}`, { name });
}

export function destroyRequest(name: string): NetlinkRequest {
  return request(IPSET_CMD_DESTROY, "destroy", `ipset ${name}`, { name });
}

function request(
  command: number,
  operation: string,
  object: string,
  values: { readonly name?: string; readonly flags?: number },
): NetlinkRequest {
  return {
    operation,
    object,
    type: (NFNL_SUBSYS_IPSET << 8) | command,
    flags: 0,
    body: (w) => setMessage.write(w, { family: FAMILY }, { protocol: IPSET_PROTOCOL, ...values }),
  };
}

export function decodeSet({ payload }: Pick<NetlinkMessage, "payload">): Ipset | undefined {
  const { name, header: data } = setMessage.read(payload).values;
  return name === undefined ? undefined : { name, references: data?.references ?? 0 };
}

export function decodePorts({ payload }: Pick<NetlinkMessage, "payload">): IpsetPort[] {
  const { members = [] } = setMessage.read(payload).values;
  return members.flatMap(({ port: first, lastPort, protocol }) =>
    first === undefined ? [] : [{ ...(protocol === undefined ? {} : { protocol }), first, last: lastPort ?? first }],
  );
}

function inUse(name: string, cause: BreakwaterError): BreakwaterError {
  return new BreakwaterError("BW_NETLINK", `Cannot destroy ipset ${name}: a rule or another set uses it`, {
    operation: "destroy",
    object: `ipset ${name}`,
    errno: "EBUSY",
    cause,
    remedy: "See who does: iptables-save | grep match-set; ipset list -t",
  });
}
