/** What changes in our tables of policies, as the kernel itself announces it. */
import * as libc from "../../../src/kernel/libc.ts";
import { NETLINK_NETFILTER } from "../../../src/kernel/netlink/constants.ts";
import { NetlinkSocket } from "../../../src/kernel/netlink/socket.ts";
import {
  NFNL_SUBSYS_NFTABLES,
  NFT_MSG_DELSETELEM,
  NFT_MSG_NEWSETELEM,
} from "../../../src/kernel/nfnetlink/constants.ts";
import { elementsMessage } from "../../../src/kernel/nfnetlink/set-messages.ts";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import { type Ip, ipFromBytes } from "../../../src/model/ip.ts";
import { POLICY_TABLES } from "../../../src/model/marks.ts";

/** NFNLGRP_NFTABLES of include/uapi/linux/netfilter/nfnetlink.h. */
const NFNLGRP_NFTABLES = 7;
const ELEMENTS: readonly number[] = [NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM].map(
  (message) => (NFNL_SUBSYS_NFTABLES << 8) | message,
);
const IPV4_BYTES = 4;
/** NFT_MSG_NEWGEN of include/uapi/linux/netfilter/nf_tables.h: the end of each transaction, whatever it did. */
const NEW_GENERATION = (NFNL_SUBSYS_NFTABLES << 8) | 15;

export class PolicyEvents implements Disposable {
  readonly #socket: NetlinkSocket;
  readonly #poll: libc.FdPoll;
  readonly #touched: (ip: Ip) => void;
  /** Elements that came or went, of all sets, since the last {@link take}. */
  #elements = 0;
  /** Rules, chains and sets that did. */
  #objects = 0;

  /** @param touched called with the address that an element's key begins with */
  constructor(host: LabHost, touched: (ip: Ip) => void) {
    const options = { groups: [NFNLGRP_NFTABLES], nonBlocking: true };
    this.#socket = host.run(() => new NetlinkSocket(NETLINK_NETFILTER, options));
    this.#touched = touched;
    this.#poll = libc.pollReadable(this.#socket.fd, () => this.#receive());
  }

  [Symbol.dispose](): void {
    this.#poll.stop();
    this.#socket.close();
  }

  take(): { readonly elements: number; readonly objects: number } {
    const taken = { elements: this.#elements, objects: this.#objects };
    [this.#elements, this.#objects] = [0, 0];
    return taken;
  }

  #receive(): void {
    for (const { type, payload } of this.#socket.receiveQueued()) {
      if (type === NEW_GENERATION) continue;
      if (!ELEMENTS.includes(type)) {
        this.#objects++;
        continue;
      }
      const { table, elements = [] } = elementsMessage.read(payload).values;
      if (table !== POLICY_TABLES[4].name) continue;
      this.#elements += elements.length;
      for (const { key } of elements) {
        if (key?.value !== undefined) this.#touched(ipFromBytes(key.value.subarray(0, IPV4_BYTES)));
      }
    }
  }
}
