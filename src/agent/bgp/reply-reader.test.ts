import assert from "node:assert/strict";
import { test } from "node:test";
import { isRefusal, ReplyReader } from "./reply-reader.ts";

/** What BIRD 2.0.12 said to `show status`. */
const STATUS = [
  "1000-BIRD 2.0.12",
  "1011-Router ID is 192.168.1.11",
  " Hostname is node1",
  " Current server time is 2026-11-23 15:50:43.668",
  "0013 Daemon is up and running",
  "",
].join("\n");

test("ReplyReader.read() gives a reply with all its lines, each with its number", () => {
  const [reply, ...more] = new ReplyReader().read(STATUS);
  assert.deepEqual(more, []);
  assert.equal(reply?.code, 13);
  assert.equal(reply?.text, "Daemon is up and running");
  assert.deepEqual(
    reply?.lines.map(({ code, text }) => `${code} ${text}`),
    [
      "1000 BIRD 2.0.12",
      "1011 Router ID is 192.168.1.11",
      "1011 Hostname is node1",
      "1011 Current server time is 2026-11-23 15:50:43.668",
      "13 Daemon is up and running",
    ],
  );
});

test("ReplyReader.read() gives the same whatever pieces a reply comes in", () => {
  const whole = new ReplyReader().read(`${STATUS}0000 \n`);
  assert.equal(whole.length, 2);
  for (let size = 1; size < 20; size++) {
    const reader = new ReplyReader();
    const replies = [];
    const text = `${STATUS}0000 \n`;
    for (let at = 0; at < text.length; at += size) replies.push(...reader.read(text.slice(at, at + size)));
    assert.deepEqual(replies, whole, `pieces of ${size}`);
  }
});

test("ReplyReader.read() passes over messages that nobody asked for", () => {
  const [reply] = new ReplyReader().read(
    "+<INFO> Reconfiguring\n0002-Reading configuration\n+more\n0003 Reconfigured\n",
  );
  assert.deepEqual(
    reply?.lines.map(({ text }) => text),
    ["Reading configuration", "Reconfigured"],
  );
});

test("isRefusal() tells what BIRD refuses or does not understand from what it does", () => {
  const codes = ["0000 ", "0003 Reconfigured", "8002 bird.conf:19:1 syntax error", "9001 syntax error"];
  const refused = codes.map((line) => new ReplyReader().read(`${line}\n`).map(isRefusal));
  assert.deepEqual(refused, [[false], [false], [true], [true]]);
});

test("ReplyReader.read() throws on what is no reply of BIRD's", () => {
  for (const text of ["HTTP/1.1 400 Bad Request\n", " goes on under nothing\n", "12 short\n", "\n"]) {
    assert.throws(() => new ReplyReader().read(text), { name: "SyntaxError" }, JSON.stringify(text));
  }
});

test("ReplyReader.read() throws on a reply without an end", () => {
  const reader = new ReplyReader();
  const piece = `1007-${"x".repeat(1 << 20)}\n`;
  assert.throws(
    () => {
      for (let i = 0; i < 70; i++) reader.read(piece);
    },
    { message: "BIRD's reply has no end" },
  );
});
