import assert from "node:assert/strict";
import { test } from "node:test";
import * as codec from "./codec.ts";
import { MessageWriter } from "./message-writer.ts";

const inner = codec.attributes({ name: [1, codec.text], size: [2, codec.u32be] });
const table = codec.attributes({
  byte: [1, codec.u8],
  short: [2, codec.u16],
  port: [3, codec.u16be],
  word: [4, codec.u32],
  signed: [5, codec.s32],
  wordBe: [6, codec.u32be],
  long: [7, codec.u64be],
  name: [8, codec.text],
  ip: [9, codec.ip],
  mac: [10, codec.mac],
  raw: [11, codec.bytes],
  inner: [12, inner],
  list: [13, codec.listOf(1, inner)],
});
const values = {
  byte: 255,
  short: 65535,
  port: 4789,
  word: 0xffffffff,
  signed: -2147483648,
  wordBe: 0x01020304,
  long: 0xffffffffffffffffn,
  name: "bwvxlan",
  ip: "fd00:10:244::1",
  mac: "02:62:77:00:00:01",
  raw: Buffer.from([1, 2, 3]),
  inner: { name: "", size: 0 },
  list: [{ name: "a", size: 1 }, { name: "b" }],
};

function written(body: (writer: MessageWriter) => void): Buffer {
  const writer = new MessageWriter(8);
  body(writer);
  return Buffer.from(writer.bytes());
}

test("attributes() reads back what it wrote, at both ends of every type's range", () => {
  assert.deepEqual(table.read(written((w) => table.write(w, values))), values);
  const least = { ...values, byte: 0, short: 0, word: 0, signed: 2147483647, long: 0n, ip: "0.0.0.0", name: "" };
  assert.deepEqual(table.read(written((w) => table.write(w, least))), least);
});

test("attributes() leaves out what is undefined and skips numbers that it does not know", () => {
  const bytes = written((w) => {
    w.attribute(99, () => w.u32(7));
    table.write(w, { byte: 1, name: undefined });
  });
  assert.deepEqual(table.read(bytes), { byte: 1 });
});

test("attributes() takes an attribute that is too short for absent, and reads the ones behind it", () => {
  for (const [name, size] of [
    ["byte", 0],
    ["short", 1],
    ["port", 1],
    ["word", 3],
    ["signed", 3],
    ["wordBe", 0],
    ["long", 7],
    ["ip", 5],
    ["ip", 0],
  ] as const) {
    const type = { byte: 1, short: 2, port: 3, word: 4, signed: 5, wordBe: 6, long: 7, ip: 9 }[name];
    const bytes = written((w) => {
      w.attribute(type, () => w.raw(Buffer.alloc(size)));
      table.write(w, { name: "behind" });
    });
    assert.deepEqual(table.read(bytes), { name: "behind" }, `${name} of ${size} bytes`);
  }
});

test("text reads up to NUL, and to the end where there is none", () => {
  assert.equal(codec.text.read(Buffer.from("eth0\0junk")), "eth0");
  assert.equal(codec.text.read(Buffer.from("eth0")), "eth0");
  assert.equal(codec.text.read(Buffer.alloc(0)), "");
});

test("eachAttribute() stops at a length that cannot be, as nla_for_each does", () => {
  const good = [8, 0, 1, 0, 9, 9, 9, 9];
  for (const bad of [
    [3, 0, 2, 0],
    [0, 0, 0, 0],
    [200, 0, 2, 0],
    [8, 0, 2],
  ]) {
    const types = Array.from(codec.eachAttribute(Buffer.from([...good, ...bad])), ([type]) => type);
    assert.deepEqual(types, [1]);
  }
});

test("eachAttribute() clears the flag bits of a type", () => {
  const nested = written((w) => w.attribute(5, () => undefined, true));
  assert.equal(nested.readUInt16LE(2), 0x8005);
  assert.deepEqual(
    Array.from(codec.eachAttribute(nested), ([type]) => type),
    [5],
  );
});

test("message() reads a header that is cut short as zeros from there", () => {
  const message = codec.message(codec.struct({ family: "u8", pad: "u8", type: "u16", index: "s32" }), table);
  const whole = written((w) => message.write(w, { family: 2, type: 7, index: -1 }, { byte: 3 }));
  assert.deepEqual(message.read(whole), { header: { family: 2, pad: 0, type: 7, index: -1 }, values: { byte: 3 } });
  for (let length = 0; length < 8; length++) {
    const { header, values: read } = message.read(whole.subarray(0, length));
    assert.equal(header.family, length === 0 ? 0 : 2);
    assert.deepEqual(read, {});
  }
});

test("MessageWriter aligns, grows and counts whole messages", () => {
  const writer = new MessageWriter(1);
  writer.beginMessage(16, 5, 0xffffffff);
  writer.attribute(3, () => writer.cstring("a"));
  writer.endMessage();
  const bytes = writer.bytes();
  assert.equal(bytes.length, 24);
  assert.equal(bytes.readUInt32LE(0), 24);
  assert.equal(bytes.readUInt32LE(8), 0xffffffff);
  assert.equal(bytes.readUInt16LE(16), 6);
  writer.reset();
  assert.equal(writer.length, 0);
  writer.raw(new Uint8Array(24));
  assert.deepEqual(writer.bytes(), Buffer.alloc(24));
});

test("MessageWriter refuses an attribute past 64 KiB", () => {
  const writer = new MessageWriter();
  assert.throws(() => writer.attribute(7, () => writer.raw(new Uint8Array(65532))), /attribute 7 is 65536 bytes/);
  writer.reset();
  writer.attribute(7, () => writer.raw(new Uint8Array(65531)));
  assert.equal(writer.length, 65536);
});
