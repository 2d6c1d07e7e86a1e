/**
 * Tells when somebody else changed a table of ours. nftables announces every change of every table; only the table's name
 * is read, and what `ownPort` did itself is skipped.
 */
import { isBreakwaterError } from "../../model/errors.ts";
import type { NftTableName } from "../../model/nft-changes.ts";
import * as libc from "../libc.ts";
import { attributes, text } from "../netlink/codec.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { type NetlinkMessage, NetlinkSocket } from "../netlink/socket.ts";
import { dropMessages } from "../netlink/socket-filter.ts";
import { FAMILIES } from "./constants.ts";

/** NFNLGRP_NFTABLES of include/uapi/linux/netfilter/nfnetlink.h. */
const NFNLGRP_NFTABLES = 7;
const NFGENMSG_BYTES = 4;
/** Attribute 1 is the table's name in every message of nf_tables (NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, …). */
const tableName = attributes({ table: [1, text] });

/** Calls `changed` when the table was touched, or may have been (events were lost), until disposed. */
export function watchNftTable(table: NftTableName, ownPort: number, changed: () => void): Disposable {
  const socket = new NetlinkSocket(NETLINK_NETFILTER, { groups: [NFNLGRP_NFTABLES], nonBlocking: true });
  skipOwnEvents(socket.fd, ownPort);
  const poll = libc.pollReadable(socket.fd, () => {
    if (readChanges(socket, table, ownPort)) changed();
  });
  return {
    [Symbol.dispose]: () => {
      poll.stop();
      socket.close();
    },
  };
}

/** nlmsg_pid in struct nlmsghdr. */
const PORT_OFFSET = 12;

/**
 * Has the kernel drop the events of our own commits: a large one makes an event for each element, more than a socket
 * holds. Without the filter they would be read and skipped here, so that it may be refused.
 */
function skipOwnEvents(fd: number, ownPort: number): void {
  dropMessages(fd, [{ offset: PORT_OFFSET, bytes: 4, values: [ownPort] }]);
}

function readChanges(socket: NetlinkSocket, table: NftTableName, ownPort: number): boolean {
  let touched = false;
  try {
    // Every message is read, also behind a hit: the queue must be empty when this returns.
    for (const message of socket.receiveQueued()) touched = concerns(message, table, ownPort) || touched;
    return touched;
  } catch (error) {
    if (isBreakwaterError(error) && error.errno === "ENOBUFS") return true;
    throw error;
  }
}

function concerns(message: NetlinkMessage, table: NftTableName, ownPort: number): boolean {
  if (message.port === ownPort || message.payload.length < NFGENMSG_BYTES) return false;
  if (message.payload[0] !== FAMILIES[table.family]) return false;
  return tableName.read(message.payload.subarray(NFGENMSG_BYTES)).table === table.name;
}
