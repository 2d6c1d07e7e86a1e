/** When elements of our table of Services came into the kernel, as the kernel itself announces them. */
import * as libc from "../../../src/kernel/libc.ts";
import { NETLINK_NETFILTER } from "../../../src/kernel/netlink/constants.ts";
import { NetlinkSocket } from "../../../src/kernel/netlink/socket.ts";
import { NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWSETELEM } from "../../../src/kernel/nfnetlink/constants.ts";
import { elementsMessage } from "../../../src/kernel/nfnetlink/set-messages.ts";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import { type Ip, ipFromBytes } from "../../../src/model/ip.ts";
import { SERVICE_TABLES } from "../../../src/model/marks.ts";

/** NFNLGRP_NFTABLES of include/uapi/linux/netfilter/nfnetlink.h. */
const NFNLGRP_NFTABLES = 7;
const NEW_ELEMENTS = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWSETELEM;
const IPV4_BYTES = 4;

/** Calls `added` with the address that each new element's key begins with: a Service's. */
export function watchServiceElements(host: LabHost, added: (service: Ip) => void): Disposable {
  const socket = host.run(
    () => new NetlinkSocket(NETLINK_NETFILTER, { groups: [NFNLGRP_NFTABLES], nonBlocking: true }),
  );
  const poll = libc.pollReadable(socket.fd, () => {
    for (const { type, payload } of socket.receiveQueued()) {
      if (type !== NEW_ELEMENTS) continue;
      const { table, elements = [] } = elementsMessage.read(payload).values;
      if (table !== SERVICE_TABLES[4].name) continue;
      for (const { key } of elements) {
        if (key?.value !== undefined) added(ipFromBytes(key.value.subarray(0, IPV4_BYTES)));
      }
    }
  });
  return {
    [Symbol.dispose]: () => {
      poll.stop();
      socket.close();
    },
  };
}
