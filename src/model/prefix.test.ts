import assert from "node:assert/strict";
import { test } from "node:test";
import {
  comparePrefix,
  hostPrefix,
  inSameSubnet,
  parseInterfaceAddress,
  parsePrefix,
  prefixAddress,
  prefixContains,
  prefixesOverlap,
  prefixLength,
  prefixNth,
  prefixRange,
} from "./prefix.ts";

const CANONICAL: readonly (readonly [string, string])[] = [
  ["10.244.1.0/24", "10.244.1.0/24"],
  ["10.244.1.77/24", "10.244.1.0/24"],
  ["10.244.1.77/32", "10.244.1.77/32"],
  ["10.244.1.77/31", "10.244.1.76/31"],
  ["255.255.255.255/0", "0.0.0.0/0"],
  ["FD00:10:244:1::77/64", "fd00:10:244:1::/64"],
  ["fd00::1/128", "fd00::1/128"],
  ["ffff::/0", "::/0"],
  // API servers take it (ParseCIDRSloppy), and a decimal length has one meaning only.
  ["10.0.0.0/08", "10.0.0.0/8"],
];

for (const [text, canonical] of CANONICAL) {
  test(`parsePrefix("${text}") is "${canonical}"`, () => assert.equal(parsePrefix(text), canonical));
}

const BROKEN = [
  "",
  "/",
  "10.0.0.0",
  "10.0.0.0/",
  "10.0.0.0/33",
  "10.0.0.0/-1",
  "10.0.0.0/+8",
  "10.0.0.0/8/8",
  "10.0.0/8",
  "::/129",
  "::/0x10",
  "10.0.0.0/ 8",
  "10.0.0.0/08x",
  "/24",
];
for (const text of BROKEN) {
  test(`parsePrefix(${JSON.stringify(text)}) throws a SyntaxError`, () => {
    assert.throws(() => parsePrefix(text), SyntaxError);
  });
}

test("parseInterfaceAddress() keeps the host bits", () => {
  assert.deepEqual(parseInterfaceAddress("10.244.1.77/24"), { address: "10.244.1.77", length: 24 });
  assert.deepEqual(parseInterfaceAddress("FD00::0001/64"), { address: "fd00::1", length: 64 });
});

test("hostPrefix() is /32 or /128", () => {
  assert.equal(hostPrefix("10.0.0.1"), "10.0.0.1/32");
  assert.equal(hostPrefix("fd00::1"), "fd00::1/128");
});

test("prefixAddress() and prefixLength() take a prefix apart", () => {
  assert.equal(prefixAddress("fd00:10::/64"), "fd00:10::");
  assert.equal(prefixLength("10.0.0.0/8"), 8);
});

test("prefixRange() gives first and last address, both inside", () => {
  assert.deepEqual(prefixRange("10.0.0.0/30"), { family: 4, length: 30, first: 167_772_160n, last: 167_772_163n });
  assert.deepEqual(prefixRange("::/0"), { family: 6, length: 0, first: 0n, last: 2n ** 128n - 1n });
  assert.deepEqual(prefixRange("0.0.0.1/32"), { family: 4, length: 32, first: 1n, last: 1n });
});

const CONTAINS: readonly (readonly [string, string, boolean])[] = [
  ["10.244.1.0/24", "10.244.1.0", true],
  ["10.244.1.0/24", "10.244.1.255", true],
  ["10.244.1.0/24", "10.244.2.0", false],
  ["10.244.1.0/24", "10.244.0.255", false],
  ["0.0.0.0/0", "::1", false],
  ["::/0", "10.0.0.1", false],
  ["fd00::/64", "fd00::ffff:ffff:ffff:ffff", true],
  ["fd00::/64", "fd00:0:0:1::", false],
];
for (const [prefix, ip, inside] of CONTAINS) {
  test(`prefixContains("${prefix}", "${ip}") is ${inside}`, () => assert.equal(prefixContains(prefix, ip), inside));
}

const OVERLAPS: readonly (readonly [string, string, boolean])[] = [
  ["10.244.0.0/16", "10.244.7.0/24", true],
  ["10.244.1.0/24", "10.244.1.0/24", true],
  ["10.244.1.0/24", "10.244.2.0/24", false],
  ["10.244.1.255/32", "10.244.2.0/24", false],
  ["0.0.0.0/0", "::/0", false],
  ["::/0", "fd00::/8", true],
];
for (const [a, b, overlap] of OVERLAPS) {
  test(`prefixesOverlap("${a}", "${b}") is ${overlap}, either way round`, () => {
    assert.equal(prefixesOverlap(a, b), overlap);
    assert.equal(prefixesOverlap(b, a), overlap);
  });
}

test("prefixNth() counts from the network address and stops at the last", () => {
  assert.equal(prefixNth("10.244.1.0/24", 0n), "10.244.1.0");
  assert.equal(prefixNth("10.244.1.0/24", 255n), "10.244.1.255");
  assert.equal(prefixNth("fd00::/64", 2n ** 64n - 1n), "fd00::ffff:ffff:ffff:ffff");
  assert.throws(() => prefixNth("10.244.1.0/24", 256n), RangeError);
  assert.throws(() => prefixNth("10.244.1.0/24", -1n), RangeError);
});

test("comparePrefix() orders by family, address, then length", () => {
  const sorted = ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "fd00::/8", "fd00::/64"];
  assert.deepEqual(sorted.toReversed().sort(comparePrefix), sorted);
});

for (const [a, b, length, expected] of [
  ["192.168.1.10", "192.168.1.200", 24, true],
  ["192.168.1.10", "192.168.2.10", 24, false],
  ["192.168.1.10", "192.168.2.10", 16, true],
  ["10.0.0.1", "250.0.0.1", 0, true],
  ["10.0.0.1", "10.0.0.2", 32, false],
  ["fd00::1", "fd00::ffff:1", 64, true],
  ["fd00::1", "fd00:0:0:1::1", 64, false],
  ["10.0.0.1", "fd00::1", 0, false],
] as const) {
  test(`inSameSubnet("${a}", "${b}", ${length}) is ${expected}`, () => {
    assert.equal(inSameSubnet(a, b, length), expected);
    assert.equal(inSameSubnet(b, a, length), expected);
  });
}
