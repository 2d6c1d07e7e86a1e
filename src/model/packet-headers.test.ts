import assert from "node:assert/strict";
import { test } from "node:test";
import { ipBytes } from "./ip.ts";
import { type PacketHeaders, parsePacketHeaders } from "./packet-headers.ts";

const [A, B] = ["10.244.1.5", "10.244.2.6"];
const [A6, B6] = ["fd00:10:244:1::5", "fd00:10:244:2::6"];
/** Ports 40000 and 5432. */
const PORTS = [0x9c, 0x40, 0x15, 0x38];
const ports = { sourcePort: 40_000, destinationPort: 5432 };

/** @param options bytes behind the first 20 @param fragment the field of flags and offset */
function ipv4(protocol: number, payload: number[], options: number[] = [], fragment = 0): Buffer {
  const header = Buffer.alloc(20 + options.length);
  header[0] = 0x40 | ((20 + options.length) / 4);
  header.writeUInt16BE(fragment, 6);
  header[9] = protocol;
  header.set(ipBytes(A), 12);
  header.set(ipBytes(B), 16);
  header.set(options, 20);
  return Buffer.concat([header, Buffer.from(payload)]);
}

function ipv6(next: number, ...behind: number[][]): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header[6] = next;
  header.set(ipBytes(A6), 8);
  header.set(ipBytes(B6), 24);
  return Buffer.concat([header, Buffer.from(behind.flat())]);
}

const four = { family: 4, source: A, destination: B } as const;
const six = { family: 6, source: A6, destination: B6 } as const;
/** An extension header of 8 bytes, and one of 16. */
const extension = (next: number) => [next, 0, 0, 0, 0, 0, 0, 0];
const longer = (next: number) => [next, 1, ...Array(14).fill(0xff)];
const authentication = (next: number) => [next, 4, ...Array(22).fill(0)];
/** @param offset in units of 8 bytes */
const fragment = (next: number, offset: number) => [next, 0, offset >> 5, (offset << 3) & 0xff, 0, 0, 0, 1];

const packets: [string, Buffer, PacketHeaders | undefined][] = [
  ["TCP", ipv4(6, PORTS), { ...four, protocol: 6, ...ports }],
  ["UDP", ipv4(17, PORTS), { ...four, protocol: 17, ...ports }],
  ["SCTP", ipv4(132, PORTS), { ...four, protocol: 132, ...ports }],
  ["IPv4 with options", ipv4(6, PORTS, Array(40).fill(1)), { ...four, protocol: 6, ...ports }],
  ["an echo", ipv4(1, [8, 0]), { ...four, protocol: 1, icmp: { type: 8, code: 0 } }],
  ["a protocol without ports", ipv4(47, PORTS), { ...four, protocol: 47 }],
  ["the first of several fragments", ipv4(17, PORTS, [], 0x2000), { ...four, protocol: 17, ...ports }],
  ["a later fragment", ipv4(17, PORTS, [], 0x2001), { ...four, protocol: 17 }],
  ["the last fragment", ipv4(17, PORTS, [], 0x1fff), { ...four, protocol: 17 }],
  ["do not fragment", ipv4(17, PORTS, [], 0x4000), { ...four, protocol: 17, ...ports }],
  ["TCP cut in its ports", ipv4(6, PORTS.slice(0, 3)), { ...four, protocol: 6 }],
  ["TCP cut in IPv4's options", ipv4(6, PORTS, Array(8).fill(1)).subarray(0, 24), { ...four, protocol: 6 }],
  ["ICMP cut in its code", ipv4(1, [8]), { ...four, protocol: 1 }],
  ["IPv4 cut in its addresses", ipv4(6, PORTS).subarray(0, 19), undefined],
  ["IPv4 that says it is too short", Buffer.concat([Buffer.from([0x44]), ipv4(6, PORTS).subarray(1)]), undefined],
  ["TCP over IPv6", ipv6(6, PORTS), { ...six, protocol: 6, ...ports }],
  ["a neighbour solicitation", ipv6(58, [135, 0]), { ...six, protocol: 58, icmp: { type: 135, code: 0 } }],
  ["IPv6 cut in its addresses", ipv6(6).subarray(0, 39), undefined],
  ["a hop-by-hop header", ipv6(0, extension(17), PORTS), { ...six, protocol: 17, ...ports }],
  [
    "four headers of different lengths",
    ipv6(0, longer(60), extension(43), longer(51), authentication(132), PORTS),
    { ...six, protocol: 132, ...ports },
  ],
  ["the first fragment of IPv6", ipv6(44, fragment(6, 0), PORTS), { ...six, protocol: 6, ...ports }],
  ["a later fragment of IPv6", ipv6(44, fragment(6, 1), PORTS), { ...six, protocol: 6 }],
  ["a fragment far behind", ipv6(44, fragment(6, 0x1000), PORTS), { ...six, protocol: 6 }],
  ["a later fragment of a header that goes on", ipv6(44, fragment(60, 2), PORTS), { ...six }],
  ["nothing behind", ipv6(59), { ...six, protocol: 59 }],
  ["an encrypted packet", ipv6(50, PORTS), { ...six, protocol: 50 }],
  ["IPv6 cut in a header", ipv6(0, extension(6).slice(0, 7)), { ...six }],
  [
    "IPv6 cut behind a header that is said to be longer",
    ipv6(0, [6, 255, 0, 0, 0, 0, 0, 0], PORTS),
    { ...six, protocol: 6 },
  ],
  ["nothing", Buffer.alloc(0), undefined],
  ["another version", Buffer.alloc(64, 0x55), undefined],
];

for (const [name, bytes, expected] of packets) {
  test(`parsePacketHeaders() reads ${name}`, () => assert.deepEqual(parsePacketHeaders(bytes), expected));
}

test("parsePacketHeaders() reads a packet at any place of a larger buffer, and not beyond its end", () => {
  const whole = Buffer.concat([Buffer.alloc(7, 0xff), ipv4(6, PORTS.slice(0, 2)), Buffer.alloc(16, 0xff)]);
  assert.deepEqual(parsePacketHeaders(whole.subarray(7, 29)), { ...four, protocol: 6 });
});

test("parsePacketHeaders() ends, and says nothing that was not there, for 200,000 damaged packets", () => {
  let seed = 5;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
  const good = packets.map(([, bytes]) => bytes).filter(({ length }) => length > 0);
  for (let round = 0; round < 200_000; round++) {
    const bytes = Buffer.from(good[random(good.length)] ?? []);
    for (let flips = random(6); flips > 0; flips--) bytes[random(bytes.length)] = random(256);
    const cut = bytes.subarray(0, random(bytes.length + 1));
    const read = parsePacketHeaders(cut);
    if (read === undefined) continue;
    const { source, destination, sourcePort } = read;
    for (const ip of [source, destination]) assert.ok(cut.includes(Buffer.from(ipBytes(ip))), `round ${round}`);
    if (sourcePort === undefined) continue;
    const number = Buffer.alloc(2);
    number.writeUInt16BE(sourcePort);
    assert.ok(cut.subarray(read.family === 4 ? 20 : 40).includes(number), `round ${round}`);
  }
});
