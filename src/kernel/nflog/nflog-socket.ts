/**
 * nflog of the real kernel: numbers and layout of include/uapi/linux/netfilter/nfnetlink_log.h. A group has one listener;
 * it goes with the socket, and what rules log to a group that nobody listens to goes nowhere, at no cost.
 */
import { BreakwaterError, isBreakwaterError } from "../../model/errors.ts";
import { type PacketHeaders, parsePacketHeaders } from "../../model/packet-headers.ts";
import * as libc from "../libc.ts";
import { attributes, type Codec, message, struct, text, u16be, u32be } from "../netlink/codec.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { type NetlinkMessage, type NetlinkRequest, NetlinkSocket } from "../netlink/socket.ts";
import type { HeardPackets, LoggedPacket, OpenPacketLog } from "./types.ts";

const NFNL_SUBSYS_ULOG = 4;
const NFULNL_MSG_PACKET = (NFNL_SUBSYS_ULOG << 8) | 0;
const NFULNL_MSG_CONFIG = (NFNL_SUBSYS_ULOG << 8) | 1;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
/** Packets are numbered, so that those that are missing can be counted. */
const NFULNL_CFG_F_SEQ = 1;
/** The kernel gathers packets this long, in 1/100 s: a line comes soon, and a flood wakes nobody for each packet. */
const GATHER_CENTISECONDS = 5;
/** No rule of ours asks for more bytes of a packet. */
const COPY_BYTES = 256;
const RECEIVE_BUFFER_BYTES = 1 << 20;

const nfgen = struct({ family: "u8", version: "u8", group: "u16be" });

const command: Codec<number> = { write: (w, value) => w.u8(value), read: (b) => b.readUInt8(0) };
/** struct nfulnl_msg_config_mode. */
const copyMode: Codec<{ mode: number; bytes: number }> = {
  write: (w, { mode, bytes }) => {
    w.u32be(bytes);
    w.u8(mode);
    w.u8(0);
  },
  read: (b) => ({ bytes: b.readUInt32BE(0), mode: b.readUInt8(4) }),
  fits: (size) => size >= 5,
};
const config = message(
  nfgen,
  attributes({ command: [1, command], mode: [2, copyMode], timeout: [4, u32be], flags: [6, u16be] }),
);

/** Read where it lies: the message is gone with the next receive. */
const headers: Codec<PacketHeaders | undefined> = { write: () => undefined, read: parsePacketHeaders };
const packet = message(
  nfgen,
  attributes({
    inIndex: [4, u32be],
    outIndex: [5, u32be],
    headers: [9, headers],
    prefix: [10, text],
    sequence: [12, u32be],
  }),
);

export const openPacketLog: OpenPacketLog = (group, onPackets) => listen(group, onPackets, RECEIVE_BUFFER_BYTES);

/** @param receiveBufferBytes what may wait before packets are lost */
export function listen(
  group: number,
  onPackets: (heard: HeardPackets) => void,
  receiveBufferBytes: number,
): Disposable {
  const socket = new NetlinkSocket(NETLINK_NETFILTER, { nonBlocking: true, receiveBufferBytes });
  try {
    socket.request(bindRequest(group));
  } catch (error) {
    socket.close();
    throw isTaken(error) ? taken(group, error) : error;
  }
  const reader = new PacketReader();
  const poll = libc.pollReadable(socket.fd, () => {
    const heard = reader.read(socket);
    if (heard.packets.length > 0 || heard.overran) onPackets(heard);
  });
  return {
    [Symbol.dispose]: () => {
      poll.stop();
      socket.close();
    },
  };
}

function bindRequest(group: number): NetlinkRequest {
  return {
    operation: "listen to nflog group",
    object: String(group),
    type: NFULNL_MSG_CONFIG,
    flags: 0,
    body: (w) =>
      config.write(
        w,
        { group },
        {
          command: NFULNL_CFG_CMD_BIND,
          mode: { mode: NFULNL_COPY_PACKET, bytes: COPY_BYTES },
          timeout: GATHER_CENTISECONDS,
          flags: NFULNL_CFG_F_SEQ,
        },
      ),
  };
}

/** nfulnl_recv_config() looks for another's group before it does what it is told. */
function isTaken(error: unknown): error is BreakwaterError {
  return isBreakwaterError(error) && (error.errno === "EBUSY" || error.errno === "EPERM");
}

function taken(group: number, cause: BreakwaterError): BreakwaterError {
  const { code, operation, object, errno } = cause;
  return new BreakwaterError(code, cause.message, {
    ...(operation === undefined ? {} : { operation }),
    ...(object === undefined ? {} : { object }),
    ...(errno === undefined ? {} : { errno }),
    remedy: `See who listens to group ${group} here: /proc/net/netfilter/nfnetlink_log; without one, run with CAP_NET_ADMIN`,
    cause,
  });
}

class PacketReader {
  /** Number of the packet that comes next; a listener's first one is 0. */
  #next = 0;

  /** Everything that is queued. */
  read(socket: Pick<NetlinkSocket, "receiveQueued">): HeardPackets {
    const packets: LoggedPacket[] = [];
    let [lost, overran] = [0, false];
    for (;;) {
      try {
        for (const received of socket.receiveQueued()) lost += this.#take(received, packets);
        return { packets, lost, overran };
      } catch (error) {
        if (!isBreakwaterError(error) || error.errno !== "ENOBUFS") throw error;
        overran = true;
      }
    }
  }

  /** @returns how many are missing before this one */
  #take({ type, payload }: NetlinkMessage, packets: LoggedPacket[]): number {
    if (type !== NFULNL_MSG_PACKET) return 0;
    const { prefix = "", sequence, inIndex, outIndex, headers: found } = packet.read(payload).values;
    packets.push({
      prefix,
      ...(inIndex === undefined ? {} : { inIndex }),
      ...(outIndex === undefined ? {} : { outIndex }),
      headers: found,
    });
    if (sequence === undefined) return 0;
    const missing = (sequence - this.#next) >>> 0;
    this.#next = (sequence + 1) >>> 0;
    return missing;
  }
}
