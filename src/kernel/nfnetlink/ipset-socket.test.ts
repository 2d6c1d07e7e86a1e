import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MessageWriter } from "../netlink/message-writer.ts";
import { decodePorts, decodeSet, destroyRequest, hasIpsets, portsRequest, setsRequest } from "./ipset-socket.ts";

const hex = (text: string) => text.replaceAll(/[^0-9a-f]/g, "");

function bytes({ body }: { body: (writer: MessageWriter) => void }): string {
  const writer = new MessageWriter();
  body(writer);
  return writer.bytes().toString("hex");
}

/** nfgenmsg (AF_INET), protocol 6, "KUBE-LOOP-BACK" with its NUL. */
const NAMED = hex("02 00 0000  0500 0100 06000000  1300 0200 4b5542452d4c4f4f502d4241434b00 00");

test("requests name a set as ipset(8) does", () => {
  assert.equal(bytes(destroyRequest("KUBE-LOOP-BACK")), NAMED);
  assert.equal(bytes(portsRequest("KUBE-LOOP-BACK")), NAMED);
  assert.deepEqual([destroyRequest("x").type, portsRequest("x").type], [0x603, 0x607]);
  assert.equal(destroyRequest("x").object, "ipset x");
});

test("setsRequest() asks for headers alone: a set may have thousands of members", () => {
  assert.equal(bytes(setsRequest()), hex("02 00 0000  0500 0100 06000000  0800 0600 00000004"));
});

/** As the kernel lists a set's header: name, type, family, revision, and what the type says, references among it. */
const HEADER = hex(`02 00 0000  0500 0100 06000000  1300 0200 4b5542452d4c4f4f502d4241434b00 00
  0c00 0300 686173683a697000  0500 0500 02000000  0500 0400 05000000
  1400 0780  0800 1940 00000002  0800 1840 00000011`);

test("decodeSet() reads a set's name and how many use it", () => {
  assert.deepEqual(decodeSet({ payload: Buffer.from(HEADER, "hex") }), { name: "KUBE-LOOP-BACK", references: 2 });
  assert.deepEqual(decodeSet({ payload: Buffer.from(NAMED, "hex") }), { name: "KUBE-LOOP-BACK", references: 0 });
  assert.equal(decodeSet({ payload: Buffer.alloc(0) }), undefined);
});

/** Two members: port 30080, and ports 30100 to 30200 of SCTP. */
const MEMBERS = hex(`02 00 0000  0500 0100 06000000
  2c00 0880
    0c00 0780  0600 0440 7580 0000
    1c00 0780  0600 0440 7594 0000  0600 0540 75f8 0000  0500 0700 84000000`);

test("decodePorts() reads ports, ranges and protocols", () => {
  assert.deepEqual(decodePorts({ payload: Buffer.from(MEMBERS, "hex") }), [
    { first: 30080, last: 30080 },
    { protocol: 132, first: 30100, last: 30200 },
  ]);
  assert.deepEqual(decodePorts({ payload: Buffer.from(HEADER, "hex") }), []);
});

test("hasIpsets() looks, and does not ask", (t) => {
  const root = `${fs.mkdtempSync(join(tmpdir(), "breakwater-test-"))}/`;
  t.after(() => fs.rmSync(root, { recursive: true }));
  assert.equal(hasIpsets(root), false);
  fs.mkdirSync(join(root, "sys/module/ip_set"), { recursive: true });
  assert.equal(hasIpsets(root), true);
});
