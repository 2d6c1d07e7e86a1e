/** Polls of descriptors: what is given up must not touch what has the descriptor's number later. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openServerSocket, receiveSocket, sendSocket, socketAddress } from "./inet-socket.ts";
import * as libc from "./libc.ts";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");
const turn = () => new Promise((next) => setTimeout(next, 2));

/** Objects of native code are finalized some turns behind their collection. */
async function collectEverything(): Promise<void> {
  for (let i = 0; i < 30; i++) {
    collectGarbage();
    await turn();
  }
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !done(); i++) await turn();
}

/** A datagram socket with its own address: it gets what it sends. */
function openEcho(): { fd: number; address: Buffer } {
  const fd = openServerSocket("127.0.0.1", 0, "UDP");
  const address = Buffer.alloc(16);
  libc.getsockname(fd, address, Buffer.from([16, 0, 0, 0]));
  assert.equal(libc.connect(fd, address, address.length), 0);
  return { fd, address };
}

/** Polls a socket until it has a pending error (ICMP port unreachable), which libuv takes as the end of the poll. */
async function pollError(fd: number): Promise<{ poll: libc.FdPoll; seen: string[] }> {
  const nobody = socketAddress("127.0.0.1", 9);
  assert.equal(libc.connect(fd, nobody, nobody.length), 0);
  const seen: string[] = [];
  const poll = libc.pollReadable(fd, () => seen.push(String(receiveSocket(fd))));
  sendSocket(fd, Buffer.from("refused"));
  await until(() => seen.length > 0);
  assert.equal(seen[0], "ECONNREFUSED");
  return { poll, seen };
}

test("a poll that was stopped behind an error leaves alone who gets the descriptor's number next", async () => {
  const first = openEcho().fd;
  (await pollError(first)).poll.stop();
  libc.close(first);
  const { fd: second } = openEcho();
  assert.equal(second, first, "the lowest free number is given again");
  const seen: string[] = [];
  const poll = libc.pollReadable(second, () => seen.push(String(receiveSocket(second))));
  await turn();
  await collectEverything();
  sendSocket(second, Buffer.from("hello"));
  await until(() => seen.length > 0);
  poll.stop();
  libc.close(second);
  assert.deepEqual(seen, ["hello"]);
});

test("a poll goes on behind an error, also when the garbage of that has been collected", async () => {
  const { fd, address } = openEcho();
  const { poll, seen } = await pollError(fd);
  await collectEverything();
  assert.equal(libc.connect(fd, address, address.length), 0);
  sendSocket(fd, Buffer.from("hello"));
  await until(() => seen.includes("hello"));
  poll.stop();
  libc.close(fd);
  assert.equal(seen.at(-1), "hello");
});
