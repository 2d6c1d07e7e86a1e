import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import {
  compareIp,
  familyBits,
  ipBytes,
  ipFamily,
  ipFromBigInt,
  ipFromBytes,
  ipToBigInt,
  parseIp,
  tryParseIp,
} from "./ip.ts";

const CANONICAL: readonly (readonly [string, string])[] = [
  ["0.0.0.0", "0.0.0.0"],
  ["255.255.255.255", "255.255.255.255"],
  ["10.244.1.5", "10.244.1.5"],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["0:0:0:0:0:0:0:0", "::"],
  ["2001:DB8::00FF", "2001:db8::ff"],
  ["fd00:10:244:1:0:0:0:5", "fd00:10:244:1::5"],
  // RFC 5952, section 4.2.2: one zero group is not shortened.
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  // Section 4.2.3: the longest run, the first of equal ones.
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ["::ffff:192.0.2.1", "::ffff:c000:201"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
];

for (const [text, canonical] of CANONICAL) {
  test(`parseIp("${text}") is "${canonical}"`, () => {
    assert.equal(parseIp(text), canonical);
    assert.equal(parseIp(canonical), canonical, "canonical text stays as it is");
    assert.notEqual(isIP(canonical), 0);
  });
}

const BROKEN = [
  "",
  " 10.0.0.1",
  "10.0.0.1 ",
  "10.0.0",
  "10.0.0.1.2",
  "10.0.0.256",
  "10.0.0.01",
  "10.0.0.-1",
  "10.0.0.1e1",
  "0x0a.0.0.1",
  "10.0.0.1/24",
  "localhost",
  ":",
  ":::",
  "1::2::3",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1:2:3:4:5:6:7:8::",
  "::1:2:3:4:5:6:7:8",
  "12345::",
  "g::",
  "1:",
  ":1",
  "fe80::1%eth0",
  "[::1]",
  "::1.2.3",
  "1.2.3.4::",
  "::1.2.3.4:5",
  "1:2:3:4:5:6:7:1.2.3.4",
];

for (const text of BROKEN) {
  test(`parseIp(${JSON.stringify(text)}) throws a SyntaxError that names it`, () => {
    assert.throws(() => parseIp(text), { name: "SyntaxError", message: `Cannot parse IP address "${text}"` });
    assert.equal(tryParseIp(text), undefined);
    assert.equal(isIP(text) === 0 || text.includes("%"), true, "Node agrees, but for zones");
  });
}

test("ipFamily() and familyBits() tell the families apart", () => {
  assert.deepEqual([ipFamily("10.0.0.1"), ipFamily("::1")], [4, 6]);
  assert.deepEqual([familyBits(4), familyBits(6)], [32, 128]);
});

test("ipBytes() and ipFromBytes() are each other's inverse", () => {
  assert.deepEqual([...ipBytes("10.244.1.5")], [10, 244, 1, 5]);
  assert.deepEqual([...ipBytes("fd00::1")], [0xfd, ...new Array(14).fill(0), 1]);
  for (const [, canonical] of CANONICAL) assert.equal(ipFromBytes(ipBytes(canonical)), canonical);
});

test("ipFromBytes() refuses other lengths than 4 and 16", () => {
  for (const length of [0, 3, 5, 15, 17]) assert.throws(() => ipFromBytes(new Uint8Array(length)), RangeError);
});

test("ipToBigInt() and ipFromBigInt() are each other's inverse", () => {
  assert.equal(ipToBigInt("0.0.1.2"), 258n);
  assert.equal(ipToBigInt("::1:0"), 65_536n);
  for (const [, canonical] of CANONICAL)
    assert.equal(ipFromBigInt(ipToBigInt(canonical), ipFamily(canonical)), canonical);
});

test("ipFromBigInt() refuses what does not fit the family", () => {
  assert.equal(ipFromBigInt(2n ** 32n - 1n, 4), "255.255.255.255");
  assert.throws(() => ipFromBigInt(2n ** 32n, 4), RangeError);
  assert.throws(() => ipFromBigInt(2n ** 128n, 6), RangeError);
  assert.throws(() => ipFromBigInt(-1n, 4), RangeError);
  assert.throws(() => ipFromBigInt(-1n, 6), RangeError);
});

test("compareIp() orders by family, then by number", () => {
  const sorted = ["2.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.10", "::1", "::2", "::10", "fd00::1"];
  assert.deepEqual(sorted.toReversed().sort(compareIp), sorted);
  assert.equal(compareIp("10.0.0.1", "10.0.0.1"), 0);
});
