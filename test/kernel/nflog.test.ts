/** nflog of the real kernel: what rules log is heard, whole or cut, as much as they may, and what is missing is counted. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { diffNft } from "../../src/diff/nft.ts";
import {
  openClientSocket,
  openServerSocket,
  type Protocol,
  sendSocket,
  socketAddress,
} from "../../src/kernel/inet-socket.ts";
import * as libc from "../../src/kernel/libc.ts";
import { listen, openPacketLog } from "../../src/kernel/nflog/nflog-socket.ts";
import type { HeardPackets, LoggedPacket } from "../../src/kernel/nflog/types.ts";
import { rulesCanLog } from "../../src/kernel/nfnetlink/log-support.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import type { NftStatement, NftTable } from "../../src/model/nft.ts";
import { addLoopbackAddresses, linkOf, type TestNamespace, testNamespace } from "./namespaces.ts";

const GROUP = 8474;
const PATIENCE_MS = 5000;
const NAME = { family: "inet", name: "breakwater-policy" } as const;

/** What leaves for loopback's second address is logged, counted and dropped. */
function denying(prefix: string, before: readonly NftStatement[] = [], snaplen = 128): NftTable {
  const rules = [
    { statements: [...before, { log: { prefix, group: GROUP, snaplen } }] },
    { statements: [{ counter: true }, { verdict: "drop" }] },
  ] as const;
  const to = (match: "ip daddr" | "ip6 daddr", value: string) => ({
    statements: [{ match, op: "==", value }, { verdict: { jump: "denied" } }] as const,
  });
  const base = { type: "filter", hook: "output", priority: 0, policy: "accept" } as const;
  return {
    ...NAME,
    sets: [],
    chains: [
      { name: "denied", rules },
      { name: "out", base, rules: [to("ip daddr", "127.0.0.2"), to("ip6 daddr", "fd00::2")] },
    ],
  };
}

interface Listener extends Disposable {
  readonly heard: HeardPackets[];
  packets(): LoggedPacket[];
  /** Until `count` packets are heard. */
  wait(count: number): Promise<LoggedPacket[]>;
}

function hear(t: TestContext, ns: TestNamespace, receiveBufferBytes?: number): Listener {
  const heard: HeardPackets[] = [];
  let noticed = () => {};
  const take = (some: HeardPackets) => {
    heard.push(some);
    noticed();
  };
  const watch = ns.run(() =>
    receiveBufferBytes === undefined ? openPacketLog(GROUP, take) : listen(GROUP, take, receiveBufferBytes),
  );
  t.after(() => watch[Symbol.dispose]());
  const packets = () => heard.flatMap((some) => some.packets);
  return {
    heard,
    packets,
    async wait(count) {
      const deadline = AbortSignal.timeout(PATIENCE_MS);
      while (packets().length < count) {
        if (deadline.aborted) assert.fail(`${packets().length} of ${count} packets heard`);
        const { promise, resolve } = Promise.withResolvers<void>();
        noticed = resolve;
        await Promise.race([promise, sleep(PATIENCE_MS, undefined, { ref: false })]);
      }
      return packets();
    },
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

function load(ns: TestNamespace, table: NftTable): void {
  using nft = ns.run(() => openNftables());
  nft.commit(NAME, diffNft(table, nft.table(NAME)));
}

/** A socket at `from` that sends to `to`. */
function udpSocket(t: TestContext, ns: TestNamespace, from: string, to: string, port: number): number {
  const fd = ns.run(() => openServerSocket(from, 40_000, "UDP"));
  t.after(() => libc.close(fd));
  const address = socketAddress(to, port);
  assert.equal(libc.connect(fd, address, address.length), 0);
  return fd;
}

function dial(t: TestContext, ns: TestNamespace, to: string, port: number, protocol: Protocol): void {
  const fd = ns.run(() => openClientSocket(to, port, protocol));
  t.after(() => libc.close(fd));
}

test("openPacketLog() hears who sent what to whom, by which device, under which prefix", async (t) => {
  const ns = testNamespace(t);
  await addLoopbackAddresses(ns, ["fd00::1", "fd00::2"]);
  const prefix = `ingress-denied-${"0123456789abcdef".repeat(7)}`;
  load(ns, denying(prefix));
  const listener = hear(t, ns);
  sendSocket(udpSocket(t, ns, "127.0.0.1", "127.0.0.2", 53), Buffer.alloc(1200, 7));
  sendSocket(udpSocket(t, ns, "fd00::1", "fd00::2", 54), Buffer.from("x"));
  dial(t, ns, "127.0.0.2", 80, "TCP");
  const [one, two, three] = await listener.wait(3);
  const outIndex = linkOf(ns, "lo").index;
  assert.deepEqual(one, {
    prefix,
    outIndex,
    headers: {
      family: 4,
      source: "127.0.0.1",
      destination: "127.0.0.2",
      protocol: 17,
      sourcePort: 40_000,
      destinationPort: 53,
    },
  });
  assert.deepEqual(two?.headers, {
    family: 6,
    source: "fd00::1",
    destination: "fd00::2",
    protocol: 17,
    sourcePort: 40_000,
    destinationPort: 54,
  });
  assert.deepEqual([three?.headers?.protocol, three?.headers?.destinationPort], [6, 80]);
  assert.deepEqual(
    listener.heard.map(({ lost, overran }) => [lost, overran]),
    listener.heard.map(() => [0, false]),
  );
});

test("openPacketLog() hears a packet that the rule cut, as far as it goes", async (t) => {
  const ns = testNamespace(t);
  load(ns, denying("cut", [], 22));
  const listener = hear(t, ns);
  sendSocket(udpSocket(t, ns, "127.0.0.1", "127.0.0.2", 53), Buffer.alloc(100));
  const [packet] = await listener.wait(1);
  assert.deepEqual(packet?.headers, { family: 4, source: "127.0.0.1", destination: "127.0.0.2", protocol: 17 });
});

test("a limit lets a burst of packets be logged, and the counter counts them all", async (t) => {
  const ns = testNamespace(t);
  load(ns, denying("limited", [{ limit: { perSecond: 1, burst: 10 } }]));
  const listener = hear(t, ns);
  const fd = udpSocket(t, ns, "127.0.0.1", "127.0.0.2", 53);
  const started = performance.now();
  for (let packet = 0; packet < 2000; packet++) sendSocket(fd, Buffer.from("flood"));
  const seconds = Math.ceil((performance.now() - started) / 1000);
  await listener.wait(10);
  await sleep(200);
  const heard = listener.packets().length;
  assert.ok(heard >= 10 && heard <= 11 + seconds, `${heard} packets in ${seconds} s`);
  using nft = ns.run(() => openNftables());
  assert.equal(nft.counters(NAME, ["denied"])[0]?.packets, 2000n);
});

test("openPacketLog() says how many packets are missing where its socket overran", async (t) => {
  const ns = testNamespace(t);
  load(ns, denying("flood"));
  const listener = hear(t, ns, 4096);
  const fd = udpSocket(t, ns, "127.0.0.1", "127.0.0.2", 53);
  // No turn of the loop between them: nobody reads meanwhile.
  for (let packet = 0; packet < 5000; packet++) sendSocket(fd, Buffer.from("flood"));
  await sleep(200);
  sendSocket(fd, Buffer.from("last"));
  const total = () => listener.heard.reduce((sum, { packets, lost }) => sum + packets.length + lost, 0);
  const deadline = performance.now() + PATIENCE_MS;
  while (total() < 5001 && performance.now() < deadline) await sleep(20);
  assert.equal(total(), 5001);
  assert.ok(listener.heard.some(({ lost }) => lost > 0));
  assert.ok(listener.heard.some(({ overran }) => overran));
});

test("a group has one listener; when it goes, another may come", (t) => {
  const ns = testNamespace(t);
  const first = hear(t, ns);
  assert.throws(
    () => hear(t, ns),
    (error) =>
      isBreakwaterError(error, "BW_NETLINK") &&
      /listen to nflog group 8474/.test(error.message) &&
      /nfnetlink_log/.test(error.remedy ?? ""),
  );
  first[Symbol.dispose]();
  hear(t, ns)[Symbol.dispose]();
  const other = testNamespace(t, "other");
  hear(t, ns);
  hear(t, other);
});

test("rulesCanLog() finds that this kernel can, and leaves nothing", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  assert.equal(rulesCanLog(nft), true);
  assert.equal(nft.table({ family: "inet", name: "breakwater-probe" }), undefined);
});
