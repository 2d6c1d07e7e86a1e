import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageWriter } from "../netlink/message-writer.ts";
import {
  changeCommand,
  decodeDestination,
  decodeServer,
  decodeTcpTimeout,
  deleteCommand,
  formatServer,
  getTimeoutsCommand,
  listCommand,
  setTcpTimeoutCommand,
  type VirtualServer,
} from "./ipvs-messages.ts";

const tcp4: VirtualServer = { family: 4, protocol: 6, address: "10.96.0.1", port: 443 };
const udp6: VirtualServer = { family: 6, protocol: 17, address: "fd00:96::a", port: 53 };
const marked: VirtualServer = { family: 4, mark: 7 };

function bytes({ body }: { body: (writer: MessageWriter) => void }): string {
  const writer = new MessageWriter();
  body(writer);
  return writer.bytes().toString("hex");
}

/** Attributes as the kernel has them: length, type, value, each in this machine's order but port and address. */
const hex = (text: string) => text.replaceAll(/[^0-9a-f]/g, "");
const TCP4 = hex(
  "3000 0180  0600 0100 0200 0000  0600 0200 0600 0000  1400 0300 0a600001 000000000000000000000000  0600 0400 01bb 0000",
);
const UDP6 = hex(
  "3000 0180  0600 0100 0a00 0000  0600 0200 1100 0000  1400 0300 fd000096 00000000 00000000 0000000a  0600 0400 0035 0000",
);
const MARKED = hex("1400 0180  0600 0100 0200 0000  0800 0500 07000000");

test("deleteCommand() names a virtual server by family, protocol, address and port, or by its mark", () => {
  assert.equal(bytes(deleteCommand(tcp4)), TCP4);
  assert.equal(bytes(deleteCommand(udp6)), UDP6);
  assert.equal(bytes(deleteCommand(marked)), MARKED);
  assert.equal(deleteCommand(tcp4).command, 3);
  assert.equal(deleteCommand(tcp4).object, "virtual server TCP 10.96.0.1:443");
});

test("listCommand() asks for all virtual servers", () => {
  const { command, flags } = listCommand();
  assert.deepEqual([command, flags, bytes(listCommand())], [4, 0x300, ""]);
});

/** As ip_vs_genl_fill_service() writes it: more attributes than are read, statistics among them. */
const FURTHER =
  hex("0700 0600 72720000  0c00 0780 00000000 ffffffff".replace("0780", "0700")) +
  hex("0800 0800 00000000  0800 0900 ffffffff  0c00 0a80  0800 0100 05000000");

function decode(attributes: string) {
  const inner = Buffer.from(attributes, "hex");
  const outer = Buffer.alloc(4);
  outer.writeUInt16LE(inner.length + 4, 0);
  outer.writeUInt16LE(0x8001, 2);
  return decodeServer({ payload: Buffer.concat([outer, inner]) });
}

test("decodeServer() reads what the kernel lists", () => {
  const manner = (key: string) => ({ key, scheduler: "rr", flags: 0, timeoutSeconds: 0 });
  for (const [text, server, key] of [
    [TCP4, tcp4, "10.96.0.1 . tcp . 443"],
    [UDP6, udp6, "fd00:96::a . udp . 53"],
    [MARKED, marked, ""],
  ] as const) {
    assert.deepEqual(decode(text.slice(8)), server);
    assert.deepEqual(decode(text.slice(8) + FURTHER), key === "" ? server : { ...server, server: manner(key) });
  }
});

test("decodeServer() passes over what is no virtual server that can be named", () => {
  assert.equal(decodeServer({ payload: Buffer.alloc(0) }), undefined);
  assert.equal(decode(""), undefined);
  assert.equal(decode(hex("0600 0100 0200 0000")), undefined, "neither address nor mark");
  assert.equal(decode(hex("0600 0100 1900 0000  0800 0500 07000000")), undefined, "another family");
  assert.equal(decodeServer({ payload: Buffer.from("30000180060001", "hex") }), undefined, "cut short");
});

test("formatServer() writes what ipvsadm would", () => {
  assert.deepEqual([tcp4, udp6, marked, { ...tcp4, protocol: 132 }, { ...tcp4, protocol: 99 }].map(formatServer), [
    "TCP 10.96.0.1:443",
    "UDP [fd00:96::a]:53",
    "mark 7",
    "SCTP 10.96.0.1:443",
    "protocol 99 10.96.0.1:443",
  ]);
});

const KEY = "10.96.0.1 . tcp . 443";
const persistent = { key: KEY, scheduler: "sh", flags: 0x29, timeoutSeconds: 10_800 };
const destination = { endpoint: "10.244.1.5 . 8443", weight: 1 };

test("changeCommand() writes a virtual server with all that the kernel asks for, its own flags left alone", () => {
  const { command, object, body } = changeCommand({ do: "addServer", server: persistent });
  assert.deepEqual([command, object], [1, "virtual server TCP 10.96.0.1:443 sh persistent 10800"]);
  const further = hex("0700 0600 736800 00  0c00 0700 29000000 fdffffff  0800 0800 302a0000  0800 0900 ffffffff");
  assert.equal(bytes({ body }), hex("5400 0180") + TCP4.slice(8) + further);
  assert.equal(changeCommand({ do: "changeServer", server: persistent }).command, 2);
});

test("changeCommand() writes a destination: whole, or by its name alone to delete it", () => {
  const named = hex("1400 0100 0af40105 000000000000000000000000  0600 0200 20fb 0000");
  const whole = hex("0800 0300 00000000  0800 0400 01000000  0800 0500 00000000  0800 0600 00000000");
  const family = hex("0600 0b00 0200 0000");
  const added = changeCommand({ do: "addDestination", key: KEY, destination });
  assert.equal(added.command, 5);
  assert.equal(bytes(added), TCP4 + hex("4800 0280") + named + whole + family);
  const deleted = changeCommand({ do: "deleteDestination", key: KEY, destination });
  assert.equal(deleted.command, 7);
  assert.equal(bytes(deleted), TCP4 + hex("2800 0280") + named + family);
  assert.equal(changeCommand({ do: "changeDestination", key: KEY, destination }).command, 6);
});

test("setTcpTimeoutCommand() names one timeout, and leaves the others; decodeTcpTimeout() reads it", () => {
  const set = setTcpTimeoutCommand(432_000);
  assert.deepEqual([set.command, bytes(set)], [12, hex("0800 0400 80970600")]);
  assert.deepEqual([getTimeoutsCommand().command, bytes(getTimeoutsCommand())], [13, ""]);
  const answer = hex("0800 0400 84030000  0800 0500 78000000  0800 0600 2c010000");
  assert.equal(decodeTcpTimeout({ payload: Buffer.from(answer, "hex") }), 900);
  assert.equal(decodeTcpTimeout({ payload: Buffer.alloc(0) }), undefined);
});

test("decodeDestination() counts connections, active and inactive", () => {
  const inner = Buffer.from(
    hex("1400 0100 0af40105 000000000000000000000000  0600 0200 20fb 0000  0800 0400 00000000") +
      hex("0800 0700 02000000  0800 0800 03000000  0600 0b00 0200 0000"),
    "hex",
  );
  const outer = Buffer.alloc(4);
  outer.writeUInt16LE(inner.length + 4, 0);
  outer.writeUInt16LE(0x8002, 2);
  const found = decodeDestination({ payload: Buffer.concat([outer, inner]) });
  assert.deepEqual(found, { endpoint: "10.244.1.5 . 8443", weight: 0, connections: 5 });
  assert.equal(decodeDestination({ payload: outer.subarray(0, 0) }), undefined);
});
