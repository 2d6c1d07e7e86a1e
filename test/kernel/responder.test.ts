/** The lab's responder and prober over real sockets in namespaces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dial } from "../../src/lab/dial.ts";
import { startResponder } from "../../src/lab/kubelet/responder.ts";
import { testNamespace } from "./namespaces.ts";

test("a responder answers every port with its name, by TCP and UDP, IPv4 and IPv6", async (t) => {
  const ns = testNamespace(t);
  const ports = [
    { port: 80, protocol: "TCP" },
    { port: 53, protocol: "UDP" },
  ] as const;
  const responder = startResponder(ns.path, "shop/web", ports, true);
  t.after(() => responder.close());
  assert.deepEqual(responder.refused, []);
  for (const ip of ["127.0.0.1", "::1"]) {
    for (const { port, protocol } of ports) {
      const result = await dial({ netns: ns.path, ip, port, protocol, timeoutMs: 5000 });
      assert.deepEqual([result.allowed, result.answer, result.error], [true, "shop/web", null], `${ip} ${protocol}`);
      assert.equal(result.clientIp, ip, "the responder tells who asked");
      assert.ok((result.rttMs ?? 0) > 0);
    }
  }
});

test("dial() says what the system answered where nobody listens", async (t) => {
  const ns = testNamespace(t);
  for (const protocol of ["TCP", "UDP"] as const) {
    const result = await dial({ netns: ns.path, ip: "127.0.0.1", port: 9, protocol, timeoutMs: 5000 });
    assert.deepEqual(result, { allowed: false, answer: null, rttMs: null, error: "ECONNREFUSED" }, protocol);
  }
  const unreachable = await dial({ netns: ns.path, ip: "192.0.2.1", port: 9, protocol: "TCP", timeoutMs: 5000 });
  assert.equal(unreachable.error, "ENETUNREACH");
});

test("dial() in a namespace that is gone is an error, not a throw", async () => {
  const result = await dial({ netns: "/nowhere/ns", ip: "127.0.0.1", port: 9, protocol: "TCP", timeoutMs: 1000 });
  assert.deepEqual([result.allowed, result.error], [false, "ENOENT"]);
});

test("a responder closes every port it opened when one is taken", async (t) => {
  const ns = testNamespace(t);
  const first = startResponder(ns.path, "a/a", [{ port: 81, protocol: "TCP" }], false);
  t.after(() => first.close());
  const both = [
    { port: 80, protocol: "TCP" },
    { port: 81, protocol: "TCP" },
  ] as const;
  assert.throws(() => startResponder(ns.path, "b/b", both, false), /port 81: EADDRINUSE/);
  const result = await dial({ netns: ns.path, ip: "127.0.0.1", port: 80, protocol: "TCP", timeoutMs: 1000 });
  assert.equal(result.error, "ECONNREFUSED");
});
