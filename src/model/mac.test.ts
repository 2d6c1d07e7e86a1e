import assert from "node:assert/strict";
import { test } from "node:test";
import { deriveMac, macBytes, macFromBytes, parseMac } from "./mac.ts";

test("parseMac() gives lower case", () => assert.equal(parseMac("02:62:77:AB:cd:EF"), "02:62:77:ab:cd:ef"));

for (const text of [
  "",
  "02:62:77:00:00",
  "02:62:77:00:00:01:02",
  "02-62-77-00-00-01",
  "0262.7700.0001",
  "02:62:77:00:00:1",
  "02:62:77:00:00:0g",
  " 02:62:77:00:00:01",
  "02:62:77:00:00:01\n",
]) {
  test(`parseMac(${JSON.stringify(text)}) throws a SyntaxError that names it`, () => {
    assert.throws(() => parseMac(text), { name: "SyntaxError", message: `Cannot parse MAC address "${text}"` });
  });
}

test("macBytes() and macFromBytes() are each other's inverse", () => {
  assert.deepEqual([...macBytes("02:62:77:00:0a:ff")], [0x02, 0x62, 0x77, 0x00, 0x0a, 0xff]);
  assert.equal(macFromBytes(macBytes("02:62:77:00:0a:ff")), "02:62:77:00:0a:ff");
});

test("deriveMac() depends on the seed alone: a released value never changes", () => {
  assert.equal(deriveMac("node1"), deriveMac("node1"));
  // `printf node1 | sha256sum` begins with these six bytes; the first is local and unicast as it is.
  assert.equal(deriveMac("node1"), "ca:12:f3:1b:8c:bf");
});

test("deriveMac() is locally administered, unicast and different for every node of a large cluster", () => {
  const macs = Array.from({ length: 10_000 }, (_, node) => deriveMac(`node${node}`));
  for (const mac of macs) assert.equal((macBytes(mac)[0] ?? 0) & 0x03, 0x02, mac);
  assert.equal(new Set(macs).size, macs.length);
});
