import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { openConntrack } from "../../src/kernel/ctnetlink/conntrack-socket.ts";
import type { Conntrack } from "../../src/kernel/ctnetlink/types.ts";
import { openClientSocket, openServerSocket, type Protocol, sendSocket } from "../../src/kernel/inet-socket.ts";
import * as libc from "../../src/kernel/libc.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { type Family, type Ip, ipFamily } from "../../src/model/ip.ts";
import { addLoopbackAddresses, type TestNamespace, testNamespace } from "./namespaces.ts";

const UDP = 17;
const TCP = 6;
const TABLE = { family: "inet", name: "track" } as const;
/** IPS_CONFIRMED of nf_conntrack_common.h: a packet of the flow got through. */
const IPS_CONFIRMED = 8;

interface Tracked {
  readonly ns: TestNamespace;
  readonly conntrack: Conntrack;
  /** Starts a flow over loopback and leaves it open. */
  flow(ip: Ip, port: number, protocol: Protocol): void;
}

/** A namespace that tracks connections: one rule that looks at their state makes the kernel do it. */
function trackedNamespace(t: TestContext): Tracked {
  const ns = testNamespace(t);
  const nftables = ns.run(() => openNftables());
  const base = { type: "filter", hook: "output", priority: 0, policy: "accept" } as const;
  nftables.commit(TABLE, [
    { do: "addTable" },
    { do: "addChain", chain: { name: "output", base } },
    {
      do: "addRule",
      chain: "output",
      rule: { statements: [{ match: "ct state", op: "==", value: "established" }, { verdict: "accept" }] },
    },
  ]);
  const conntrack = ns.run(() => openConntrack());
  const open: number[] = [];
  t.after(() => {
    for (const fd of open) libc.close(fd);
    conntrack[Symbol.dispose]();
    nftables[Symbol.dispose]();
  });
  const flow = (ip: Ip, port: number, protocol: Protocol) =>
    ns.run(() => {
      open.push(openServerSocket(ip, port, protocol));
      const client = openClientSocket(ip, port, protocol);
      open.push(client);
      if (protocol === "UDP") assert.equal(sendSocket(client, Buffer.from("hello")), "");
    });
  return { ns, conntrack, flow };
}

const destinations = (conntrack: Conntrack, filter?: Parameters<Conntrack["entries"]>[0]) =>
  conntrack
    .entries(filter)
    .map(({ original }) => `${original.protocol} ${original.destination}:${original.destinationPort}`)
    .sort();

test("entries() shows UDP and TCP flows over IPv4 and IPv6 in both directions", (t) => {
  const { conntrack, flow } = trackedNamespace(t);
  assert.deepEqual(conntrack.entries(), []);
  for (const ip of ["127.0.0.1", "::1"]) for (const protocol of ["UDP", "TCP"] as const) flow(ip, 5353, protocol);
  const entries = conntrack.entries();
  assert.equal(entries.length, 4);
  for (const entry of entries) {
    const { original, reply } = entry;
    assert.equal(entry.family, ipFamily(original.source));
    assert.equal(original.destinationPort, 5353);
    assert.deepEqual(
      [reply.source, reply.destination, reply.sourcePort, reply.destinationPort, reply.protocol],
      [original.destination, original.source, 5353, original.sourcePort, original.protocol],
    );
    assert.ok(entry.id !== 0 && entry.timeoutSeconds > 0 && (entry.status & IPS_CONFIRMED) !== 0);
    assert.deepEqual([original.icmp, entry.mark, entry.zone], [undefined, 0, 0]);
  }
  assert.equal(new Set(entries.map(({ id }) => id)).size, 4);
});

test("entries() lets the kernel filter by family, address, protocol and port, in each direction", (t) => {
  const { conntrack, flow } = trackedNamespace(t);
  for (const ip of ["127.0.0.1", "127.0.0.2", "::1"]) flow(ip, 53, "UDP");
  flow("127.0.0.1", 80, "TCP");
  const expected: [Parameters<Conntrack["entries"]>[0], string[]][] = [
    [{ family: 4, original: { protocol: UDP } }, ["17 127.0.0.1:53", "17 127.0.0.2:53"]],
    [{ family: 6, original: { protocol: UDP } }, ["17 ::1:53"]],
    [{ family: 4, original: { destination: "127.0.0.1" } }, ["17 127.0.0.1:53", "6 127.0.0.1:80"]],
    [{ family: 4, original: { destination: "127.0.0.1", protocol: TCP } }, ["6 127.0.0.1:80"]],
    [{ family: 4, original: { protocol: UDP, destinationPort: 53 } }, ["17 127.0.0.1:53", "17 127.0.0.2:53"]],
    [{ family: 4, original: { protocol: UDP, destinationPort: 54 } }, []],
    [{ family: 4, reply: { source: "127.0.0.2" } }, ["17 127.0.0.2:53"]],
    [{ family: 4, reply: { protocol: TCP, sourcePort: 80 } }, ["6 127.0.0.1:80"]],
    [{ family: 4, original: { destination: "127.0.0.2" }, reply: { protocol: TCP } }, []],
    [{ family: 6, reply: { source: "::1" } }, ["17 ::1:53"]],
  ];
  for (const [filter, found] of expected)
    assert.deepEqual(destinations(conntrack, filter), found, JSON.stringify(filter));
});

test("deleteEntry() deletes one entry, and no later one with the same tuple", (t) => {
  const { conntrack, flow } = trackedNamespace(t);
  for (const ip of ["127.0.0.1", "127.0.0.2", "::1"]) flow(ip, 53, "UDP");
  const all = conntrack.entries();
  for (const ip of ["127.0.0.1", "::1"]) {
    const entry = all.find(({ original }) => original.destination === ip);
    assert.ok(entry);
    assert.equal(conntrack.deleteEntry({ ...entry, id: entry.id ^ 1 }), false, "another connection's id");
    assert.equal(
      conntrack.entries().some(({ id }) => id === entry.id),
      true,
    );
    assert.equal(conntrack.deleteEntry(entry), true);
    assert.equal(conntrack.deleteEntry(entry), false, "gone");
  }
  assert.deepEqual(destinations(conntrack), ["17 127.0.0.2:53"]);
});

test("deleteMatching() deletes what matches and nothing else", (t) => {
  const { conntrack, flow } = trackedNamespace(t);
  for (const ip of ["127.0.0.1", "127.0.0.2", "::1"]) flow(ip, 53, "UDP");
  flow("127.0.0.2", 80, "TCP");
  conntrack.deleteMatching({ family: 4, original: { destination: "127.0.0.2", protocol: UDP, destinationPort: 53 } });
  assert.deepEqual(destinations(conntrack), ["17 127.0.0.1:53", "17 ::1:53", "6 127.0.0.2:80"]);
  conntrack.deleteMatching({ family: 4, original: { protocol: UDP, destinationPort: 9999 } });
  assert.equal(conntrack.entries().length, 3);
  conntrack.deleteMatching({ family: 6, reply: { protocol: UDP } });
  assert.deepEqual(destinations(conntrack), ["17 127.0.0.1:53", "6 127.0.0.2:80"]);
});

test("filters by IPv6 address mean that address, which the kernel takes for all others", async (t) => {
  const { ns, conntrack, flow } = trackedNamespace(t);
  const ips = ["fd00::1", "fd00::2", "fd00::3"];
  await addLoopbackAddresses(ns, ips);
  for (const ip of ips) for (const protocol of ["UDP", "TCP"] as const) flow(ip, 53, protocol);
  assert.deepEqual(destinations(conntrack, { family: 6, original: { destination: "fd00::2" } }), [
    "17 fd00::2:53",
    "6 fd00::2:53",
  ]);
  assert.deepEqual(destinations(conntrack, { family: 6, reply: { source: "fd00::9" } }), []);
  conntrack.deleteMatching({ family: 6, original: { destination: "fd00::2", protocol: UDP } });
  conntrack.deleteMatching({ family: 6, reply: { source: "fd00::3" } });
  assert.deepEqual(destinations(conntrack), ["17 fd00::1:53", "6 fd00::1:53", "6 fd00::2:53"]);
});

test("deleteMatching() refuses a filter that names nothing: the table can never be emptied", (t) => {
  const { conntrack, flow } = trackedNamespace(t);
  flow("127.0.0.1", 53, "UDP");
  const family: Family = 4;
  // @ts-expect-error a filter needs a direction
  const none: Parameters<Conntrack["deleteMatching"]>[0] = { family };
  // @ts-expect-error a direction needs a field
  const empty: Parameters<Conntrack["deleteMatching"]>[0] = { family, original: {} };
  // @ts-expect-error a port needs its protocol
  const port: Parameters<Conntrack["deleteMatching"]>[0] = { family, original: { destinationPort: 53 } };
  for (const filter of [none, empty]) {
    assert.throws(() => conntrack.deleteMatching(filter), RangeError);
    assert.throws(() => conntrack.entries(filter), RangeError);
  }
  assert.throws(() => conntrack.deleteMatching(port));
  assert.equal(conntrack.entries().length, 1);
});

test("entries() lists two thousand flows whole", (t) => {
  const { ns, conntrack } = trackedNamespace(t);
  ns.run(() => {
    const client = openClientSocket("127.0.0.1", 1, "UDP");
    libc.close(client);
    for (let port = 1; port <= 2000; port++) {
      const fd = openClientSocket(`127.0.0.${1 + (port % 200)}`, 10_000 + port, "UDP");
      sendSocket(fd, Buffer.from("x"));
      libc.close(fd);
    }
  });
  const ports = new Set(
    conntrack.entries({ family: 4, original: { protocol: UDP } }).map((e) => e.original.destinationPort),
  );
  assert.equal(ports.size, 2000);
});

test("entriesOf() lists the flows of one family, all of them", (t) => {
  const { conntrack, flow } = trackedNamespace(t);
  flow("127.0.0.1", 7001, "UDP");
  flow("127.0.0.1", 7002, "TCP");
  flow("::1", 7003, "UDP");
  const ports = (family: Family) => conntrack.entriesOf(family).map(({ original }) => original.destinationPort);
  assert.deepEqual(ports(4).sort(), [7001, 7002]);
  assert.deepEqual(ports(6), [7003]);
});
