import assert from "node:assert/strict";
import { test } from "node:test";
import { NETLINK_ROUTE } from "../../src/kernel/netlink/constants.ts";
import { MessageWriter } from "../../src/kernel/netlink/message-writer.ts";
import { NetlinkSocket } from "../../src/kernel/netlink/socket.ts";
import { testNamespace } from "./namespaces.ts";

/** Messages that the kernel passes over, together of about that size. */
function noOperations(sizeBytes: number): Buffer {
  const NLMSG_NOOP = 1;
  const writer = new MessageWriter();
  for (let sequence = 1; writer.length < sizeBytes; sequence++) {
    writer.beginMessage(NLMSG_NOOP, 0, sequence);
    writer.raw(Buffer.alloc(1024));
    writer.endMessage();
  }
  return writer.bytes();
}

for (const kib of [1, 63, 65, 200, 207, 209, 300, 511, 513, 2000]) {
  test(`NetlinkSocket sends a batch of ${kib} KiB, whatever was sent before`, (t) => {
    const ns = testNamespace(t);
    using socket = ns.run(() => new NetlinkSocket(NETLINK_ROUTE));
    const purpose = { operation: "send", object: "a batch" };
    assert.doesNotThrow(() => socket.sendBytes(noOperations(kib * 1024), purpose));
    assert.doesNotThrow(() => socket.sendBytes(noOperations(kib * 512), purpose));
  });
}
