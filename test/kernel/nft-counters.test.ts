/** Counters of rules: what packets do to them, and what a chain that is made anew does; in the kernel and in memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHost } from "../../src/kernel/fake/host.ts";
import { openServerSocket, sendSocket, socketAddress } from "../../src/kernel/inet-socket.ts";
import * as libc from "../../src/kernel/libc.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import type { Nftables, NftChange } from "../../src/kernel/nfnetlink/types.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import type { NftRule } from "../../src/model/nft.ts";
import { testNamespace } from "./namespaces.ts";

const table = { family: "ip", name: "breakwater-policy" } as const;
const other = { family: "ip6", name: "breakwater-policy" } as const;
const FROM = "127.0.0.1";
const TO = "127.0.0.2";
/** IPv4 and UDP headers. */
const HEADER_BYTES = 28n;

const denied: NftRule = { statements: [{ counter: true }, { verdict: "drop" }] };
const make: NftChange[] = [
  { do: "addTable" },
  { do: "addChain", chain: { name: "denied" } },
  { do: "addRule", chain: "denied", rule: denied },
  { do: "addChain", chain: { name: "twice" } },
  { do: "addRule", chain: "twice", rule: { statements: [{ counter: true }, { counter: true }] } },
  { do: "addRule", chain: "twice", rule: { statements: [{ verdict: "return" }] } },
  { do: "addChain", chain: { name: "uncounted" } },
  { do: "addRule", chain: "uncounted", rule: { statements: [{ verdict: "drop" }] } },
  { do: "addChain", chain: { name: "out", base: { type: "filter", hook: "output", priority: 0, policy: "accept" } } },
  {
    do: "addRule",
    chain: "out",
    rule: { statements: [{ match: "ip daddr", op: "==", value: TO }, { verdict: { jump: "denied" } }] },
  },
];

/** One kernel, and how packets of `sizes` bytes behind their headers come to chain "denied" of it. */
interface Counted {
  readonly nft: Nftables;
  pass(sizes: readonly number[]): void;
}

function check({ nft, pass }: Counted): void {
  assert.deepEqual(nft.counters(table, ["denied"]), [], "no table");
  nft.commit(table, make);
  nft.commit(other, make.slice(0, 3));
  const read = (...chains: string[]) => nft.counters(table, chains);
  const counts = (...chains: string[]) =>
    read(...chains).map(({ chain, packets, bytes }) => ({ chain, packets, bytes }));
  assert.deepEqual(counts("denied"), [{ chain: "denied", packets: 0n, bytes: 0n }]);
  pass([1, 1000, 7]);
  const three = { chain: "denied", packets: 3n, bytes: 1008n + 3n * HEADER_BYTES };
  assert.deepEqual(counts("denied", "uncounted", "nosuch"), [three]);
  const [one, two] = counts("twice");
  assert.deepEqual([one?.packets, two?.packets], [0n, 0n]);
  assert.deepEqual(nft.counters(other, ["denied"])[0]?.packets, 0n);
  const before = read("denied")[0]?.handle;
  assert.equal(read("denied")[0]?.handle, before, "reading changes nothing");
  nft.commit(table, [
    { do: "flushChain", chain: "denied" },
    { do: "addRule", chain: "denied", rule: denied },
  ]);
  assert.deepEqual(counts("denied"), [{ chain: "denied", packets: 0n, bytes: 0n }]);
  assert.notEqual(read("denied")[0]?.handle, before);
  pass([5]);
  assert.deepEqual(counts("denied"), [{ chain: "denied", packets: 1n, bytes: 5n + HEADER_BYTES }]);
}

test("counters() of the kernel reads what packets did to the rules of the chains that it is asked for", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  const fd = ns.run(() => openServerSocket(FROM, 0, "UDP"));
  t.after(() => libc.close(fd));
  const to = socketAddress(TO, 9);
  assert.equal(libc.connect(fd, to, to.length), 0);
  check({
    nft,
    pass: (sizes) => {
      for (const size of sizes) sendSocket(fd, Buffer.alloc(size));
    },
  });
});

test("counters() of the kernel in memory does the same", () => {
  const host = new FakeHost();
  const hand = host.addNamespace("/run/netns/node");
  const nft = host.kernel("/run/netns/node").nftables;
  check({
    nft,
    pass: (sizes) => {
      for (const size of sizes) hand.countPackets(table, "denied", 1n, BigInt(size) + HEADER_BYTES);
    },
  });
  assert.throws(() => hand.countPackets(table, "uncounted", 1n, 1n), RangeError);
  host.failures.fail({ operation: "counters", errno: "ENOMEM" });
  assert.throws(
    () => nft.counters(table, ["denied"]),
    (error) => isBreakwaterError(error, "BW_NETLINK") && error.errno === "ENOMEM",
  );
});
