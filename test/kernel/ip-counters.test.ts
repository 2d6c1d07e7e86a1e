/** Counters belong to the namespace they are read in, and move when packets are too large. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { readIpCounters } from "../../src/kernel/ip-counters.ts";
import { addLoopbackAddresses, linkOf, testNamespace } from "./namespaces.ts";

test("fragments are counted in the namespace that makes them, and in no other", async (t) => {
  const namespace = testNamespace(t);
  const other = testNamespace(t, "other");
  await addLoopbackAddresses(namespace, ["10.9.9.9", "fd00:9::9"]);
  namespace.routes.changeLink(linkOf(namespace, "lo").index, { mtuBytes: 1400 });
  for (const ip of ["10.9.9.9", "fd00:9::9"]) {
    const ping = namespace.run(() => spawnSync("ping", ["-c", "1", "-W", "2", "-s", "3000", "-M", "dont", ip]));
    assert.equal(ping.status, 0, String(ping.stdout) + String(ping.stderr));
  }
  const counters = namespace.run(() => readIpCounters());
  // 3008 bytes in parts of 1376 (IPv4) and 1344 (IPv6): three fragments, there and back.
  assert.equal(counters.IpFragCreates, 6);
  assert.equal(counters.IpReasmReqds, 6);
  assert.equal(counters.IpReasmOKs, 2);
  assert.equal(counters.Ip6FragCreates, 6);
  assert.equal(counters.Ip6ReasmOKs, 2);
  assert.equal(other.run(() => readIpCounters()).IpFragCreates, 0);
});
