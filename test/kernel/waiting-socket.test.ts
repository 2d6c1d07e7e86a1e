/** Sockets whose calls wait, but not for ever. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as libc from "../../src/kernel/libc.ts";
import {
  acceptWaiting,
  connectWaiting,
  listenWaiting,
  receiveWaiting,
  resetSocket,
  sendWaiting,
  TIMED_OUT,
} from "../../src/kernel/waiting-socket.ts";
import { addLoopbackAddresses, testNamespace } from "./namespaces.ts";

test("messages pass whole, silence ends after its time, a reset is told", async (t) => {
  const namespace = testNamespace(t);
  await addLoopbackAddresses(namespace, ["10.9.9.9", "fd00:9::9"]);
  for (const ip of ["10.9.9.9", "fd00:9::9"]) {
    namespace.run(() => {
      const listener = listenWaiting(ip, 5201, 200);
      assert.throws(() => acceptWaiting(listener, 200), { code: "BW_SOCKET", errno: TIMED_OUT });
    });
    namespace.run(() => {
      const listener = listenWaiting(ip, 5202, 200);
      const client = connectWaiting(ip, 5202, 200);
      const server = acceptWaiting(listener, 200);
      const message = Buffer.alloc(4000, "x");
      assert.equal(sendWaiting(client, message), 4000);
      const received = Buffer.alloc(4000);
      assert.equal(receiveWaiting(server, received, true), 4000);
      assert.deepEqual(received, message);
      const started = performance.now();
      assert.equal(receiveWaiting(server, received), TIMED_OUT);
      assert.ok(performance.now() - started > 150, "it waited");
      resetSocket(client);
      assert.equal(receiveWaiting(server, received), "ECONNRESET");
      for (const fd of [server, listener]) libc.close(fd);
    });
  }
});

test("a connection that nobody takes is refused by name", (t) => {
  const namespace = testNamespace(t);
  namespace.run(() => {
    assert.throws(() => connectWaiting("127.0.0.1", 9, 200), {
      code: "BW_SOCKET",
      message: "Cannot connect to 127.0.0.1 port 9: ECONNREFUSED",
    });
  });
});
