/**
 * Generic netlink: families register under a name at run time and the controller ("nlctrl") says which number each got
 * (include/uapi/linux/genetlink.h). IPVS, ethtool and WireGuard are such families.
 */
import { BreakwaterError } from "../../model/errors.ts";
import { attributes, listOf, message, struct, text, u16, u32 } from "../netlink/codec.ts";
import { NETLINK_GENERIC } from "../netlink/constants.ts";
import { isNotFound } from "../netlink/error.ts";
import type { MessageWriter } from "../netlink/message-writer.ts";
import { type NetlinkMessage, type NetlinkRequest, NetlinkSocket } from "../netlink/socket.ts";

/** GENL_ID_CTRL: the one family with a fixed number. */
const CONTROLLER = { name: "nlctrl", id: 0x10, version: 2, groups: new Map<string, number>() };
const CTRL_CMD_GETFAMILY = 3;
const HEADER_BYTES = 4;

const genericHeader = struct({ command: "u8", version: "u8", reserved: "u16" });
const group = attributes({ name: [1, text], id: [2, u32] });
const familyMessage = message(
  genericHeader,
  attributes({ id: [1, u16], name: [2, text], version: [3, u32], groups: [7, listOf(1, group)] }),
);

export interface GenericFamily {
  readonly name: string;
  /** Message type of the family's requests; changes from boot to boot. */
  readonly id: number;
  readonly version: number;
  /** Multicast groups by name, for {@link NetlinkSocket}'s `groups`. */
  readonly groups: ReadonlyMap<string, number>;
}

/** One command of a family: the words for errors, and what follows the header. */
export interface GenericCommand {
  readonly operation: string;
  readonly object: string;
  readonly command: number;
  /** NLM_F_ flags beside REQUEST. @default 0 */
  readonly flags?: number;
  readonly body: (writer: MessageWriter) => void;
}

/** An answer: its command, and the attributes behind the header. Valid until the next receive: decode or copy. */
export interface GenericAnswer {
  readonly command: number;
  readonly payload: Buffer;
}

/** Families that this project talks to, and what brings them into a kernel. */
const PROVIDERS: Readonly<Record<string, string>> = {
  IPVS: "modprobe ip_vs, or build the kernel with CONFIG_IP_VS",
  ethtool: "build the kernel with CONFIG_ETHTOOL_NETLINK",
  wireguard: "modprobe wireguard, or build the kernel with CONFIG_WIREGUARD",
};

/** Opens generic netlink of the calling thread's network namespace. */
export class GenericNetlink implements Disposable {
  readonly #socket = new NetlinkSocket(NETLINK_GENERIC);
  readonly #families = new Map<string, GenericFamily>();

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  /** @throws BreakwaterError BW_GENETLINK_FAMILY when this kernel has no such family, with what would bring it */
  family(name: string): GenericFamily {
    const known = this.#families.get(name);
    if (known !== undefined) return known;
    const found = this.#askFor(name);
    if (found === undefined) throw noFamily(name);
    this.#families.set(name, found);
    return found;
  }

  /** All families that the kernel has now. */
  families(): GenericFamily[] {
    const object = "generic netlink families";
    const command = { operation: "list", object, command: CTRL_CMD_GETFAMILY, body: () => undefined };
    return this.#socket.dump(encode(CONTROLLER, command), decodeFamily);
  }

  /** Sends one command and waits for its acknowledgement. @throws BreakwaterError BW_NETLINK */
  request(family: GenericFamily, command: GenericCommand): void {
    this.#socket.request(encode(family, command));
  }

  /** Sends independent commands, many in one send(). @returns one entry a command: undefined, or its error */
  requestMany(family: GenericFamily, commands: readonly GenericCommand[]): (BreakwaterError | undefined)[] {
    return this.#socket.requestMany(commands.map((command) => encode(family, command)));
  }

  /** The one answer to a command, or undefined when the kernel says there is none. */
  get<T>(family: GenericFamily, command: GenericCommand, decode: (answer: GenericAnswer) => T): T | undefined {
    return this.#socket.get(encode(family, command), (m) => decodeAnswer(family, m, decode));
  }

  /** All answers to a command; a list that is interrupted is begun anew. */
  dump<T>(family: GenericFamily, command: GenericCommand, decode: (answer: GenericAnswer) => T): T[] {
    return this.#socket.dump(encode(family, command), (m) => decodeAnswer(family, m, decode));
  }

  #askFor(name: string): GenericFamily | undefined {
    const request = encode(CONTROLLER, {
      operation: "find",
      object: `generic netlink family ${name}`,
      command: CTRL_CMD_GETFAMILY,
      body: (w) => w.attribute(2, () => w.cstring(name)),
    });
    try {
      return this.#socket.get(request, decodeFamily);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

function encode(family: GenericFamily, command: GenericCommand): NetlinkRequest {
  const { operation, object, flags = 0 } = command;
  return {
    operation,
    object,
    type: family.id,
    flags,
    body: (w) => {
      genericHeader.write(w, { command: command.command, version: family.version });
      command.body(w);
    },
  };
}

function decodeAnswer<T>(family: GenericFamily, received: NetlinkMessage, decode: (answer: GenericAnswer) => T) {
  if (received.type !== family.id) return undefined;
  const { command } = genericHeader.read(received.payload);
  return decode({ command, payload: received.payload.subarray(HEADER_BYTES) });
}

function decodeFamily(received: NetlinkMessage): GenericFamily | undefined {
  const { name, id, version = 1, groups = [] } = familyMessage.read(received.payload).values;
  if (received.type !== CONTROLLER.id || name === undefined || id === undefined) return undefined;
  return { name, id, version, groups: new Map(groups.map((entry) => [entry.name ?? "", entry.id ?? 0])) };
}

/** What {@link GenericNetlink.family} throws. */
export function noFamily(name: string): BreakwaterError {
  return new BreakwaterError("BW_GENETLINK_FAMILY", `The kernel has no generic netlink family "${name}"`, {
    operation: "find",
    object: `generic netlink family ${name}`,
    errno: "ENOENT",
    remedy: `Bring it in: ${PROVIDERS[name] ?? "load the kernel module that provides it, or build it in"}`,
  });
}
