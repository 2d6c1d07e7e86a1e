/** The socket itself: who may listen, and everything that is no proper call. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import { encodeRequest, MAX_PAYLOAD_BYTES } from "./frame.ts";
import { JOURNAL_FILE, startCniServer } from "./server.ts";
import { call, type Fixture, recordingLog, request, sendBytes, startFixture } from "./server-fixture.ts";

let fixture: Fixture;
beforeEach(async () => {
  fixture = await startFixture({ patienceMs: 200 });
});
afterEach(() => fixture.close());

function another(): ReturnType<typeof startCniServer> {
  const { socketPath, stateDir, network, pods } = fixture;
  return startCniServer({ socketPath, stateDir, network, pods, log: recordingLog([]) });
}

async function assertServes(): Promise<void> {
  assert.equal((await call(fixture.socketPath, request("STATUS"))).exitStatus, 0);
  assert.deepEqual([fixture.server.records(), fixture.server.recordsInFlight()], [[], []]);
}

const whole = encodeRequest(request("ADD"));
const tooLarge = encodeRequest(request("ADD"));
tooLarge.writeUInt32BE(MAX_PAYLOAD_BYTES + 1, 4);

for (const [name, bytes, end, code, message] of [
  ["10 MB of garbage", Buffer.alloc(10_000_000, "x"), false, 6, /no Breakwater request/],
  ["10 MB of NUL bytes", Buffer.alloc(10_000_000), false, 6, /no Breakwater request/],
  ["a request that says it is too large", tooLarge, false, 6, /larger than/],
  ["bare JSON", Buffer.from('{"cniVersion":"1.0.0"}'), true, 6, /no Breakwater request/],
  ["a request cut short", whole.subarray(0, -1), true, 5, /cut short after/],
  ["nothing, and an end", Buffer.alloc(0), true, 5, /cut short after 0 bytes/],
  ["half a request, and silence", whole.subarray(0, 40), false, 5, /not complete after 200 ms/],
  ["two requests", Buffer.concat([whole, whole]), false, 6, /bytes follow the request/],
] as const) {
  test(`the server answers ${name} with one error, code ${code}, and serves on`, async () => {
    const answer = await sendBytes(fixture.socketPath, bytes, end);
    const body = JSON.parse(answer.text) as { code: number; msg: string; cniVersion: string };
    assert.deepEqual([answer.exitStatus, body.code, body.cniVersion], [1, code, "1.1.0"]);
    assert.match(body.msg, message);
    assert.deepEqual(
      fixture.observed.map((seen) => [seen.command, seen.code]),
      [["invalid", code]],
    );
    await assertServes();
  });
}

test("the server reads a request that comes byte by byte", async () => {
  const bytes = encodeRequest(request("STATUS"));
  const socket = connect(fixture.socketPath);
  const answered = new Promise<Buffer>((resolve) => socket.once("data", resolve));
  for (const byte of bytes) {
    await new Promise<void>((resolve) => socket.write(Uint8Array.of(byte), () => resolve()));
  }
  assert.equal((await answered).readUInt32BE(4), 0);
  socket.destroy();
});

test("the server cuts off a caller that does not end after its answer", async () => {
  const socket = connect({ path: fixture.socketPath, allowHalfOpen: true });
  const ended = new Promise<void>((resolve) => socket.once("end", resolve));
  socket.resume().write(encodeRequest(request("STATUS")));
  await ended;
  // Its own side stays open: the fixture's close() returns only because the server gives up on it.
  await fixture.server.close();
  socket.destroy();
});

test("a caller that leaves before its answer: the ADD is whole, and its DEL works", async () => {
  const entered = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  fixture.network.gate = async () => {
    entered.resolve();
    await held.promise;
  };
  const socket = connect(fixture.socketPath);
  socket.write(encodeRequest(request("ADD")));
  await entered.promise;
  socket.destroy();
  const deleted = call(fixture.socketPath, request("DEL"));
  held.resolve();
  assert.equal((await deleted).exitStatus, 0);
  assert.equal(fixture.network.attachments.size, 0);
  await assertServes();
});

test("100 callers at once are all served, each with an address of its own", async () => {
  const calls = Array.from({ length: 100 }, (_, i) =>
    call(fixture.socketPath, request("ADD", { containerId: `c${i}` })),
  );
  const answers = await Promise.all(calls);
  assert.ok(answers.every(({ exitStatus }) => exitStatus === 0));
  assert.equal(new Set(fixture.server.records().flatMap(({ ips }) => ips)).size, 100);
});

test("startCniServer() makes the socket for its owner alone, in a directory for its owner alone", () => {
  assert.equal(statSync(fixture.socketPath).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(fixture.socketPath)).mode & 0o777, 0o700);
  assert.equal(statSync(join(fixture.stateDir, JOURNAL_FILE)).mode & 0o777, 0o600);
});

test("startCniServer() refuses a socket on which another agent answers, and leaves that one serving", async () => {
  await assert.rejects(another(), (error) => isBreakwaterError(error, "BW_CNI_SOCKET_IN_USE"));
  await assertServes();
});

test("startCniServer() replaces the socket of a dead agent", async () => {
  await fixture.server.close();
  // A socket file without a listener: bound, then its unlink at close prevented by a rename to and fro.
  const dead = createServer();
  await new Promise<void>((resolve) => dead.listen(`${fixture.socketPath}.tmp`, resolve));
  renameSync(`${fixture.socketPath}.tmp`, fixture.socketPath);
  await new Promise((resolve) => dead.close(resolve));
  assert.equal(existsSync(fixture.socketPath), true);
  await fixture.restart();
  await assertServes();
});

test("startCniServer() refuses a path where something else stands, and a path that is too long or relative", async () => {
  await fixture.server.close();
  writeFileSync(fixture.socketPath, "precious");
  await assert.rejects(
    another(),
    (error) => isBreakwaterError(error, "BW_CNI_SOCKET") && /no socket/.test(error.message),
  );
  assert.equal(readFileSync(fixture.socketPath, "utf8"), "precious");
  for (const socketPath of ["cni.sock", `/${"x".repeat(107)}`]) {
    const { stateDir, network, pods } = fixture;
    await assert.rejects(
      startCniServer({ socketPath, stateDir, network, pods, log: recordingLog([]) }),
      /absolute path/,
    );
  }
});

test("startCniServer() with a damaged journal fails, names it, and gives the socket back", async () => {
  await fixture.server.close();
  writeFileSync(join(fixture.stateDir, JOURNAL_FILE), "garbage\n");
  await assert.rejects(another(), (error) => isBreakwaterError(error, "BW_JOURNAL_CORRUPT"));
  assert.equal(existsSync(fixture.socketPath), false);
});

test("close() answers the calls it has, twice is once, and the socket is gone", async () => {
  const entered = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  fixture.network.gate = async () => {
    entered.resolve();
    await held.promise;
  };
  const added = call(fixture.socketPath, request("ADD"));
  const idle = connect(fixture.socketPath);
  const idleClosed = new Promise((resolve) => idle.once("close", resolve));
  await entered.promise;
  const closed = [fixture.server.close(), fixture.server.close()];
  await idleClosed;
  held.resolve();
  assert.equal((await added).exitStatus, 0);
  await Promise.all(closed);
  assert.equal(existsSync(fixture.socketPath), false);
});

const leave = (name: string, bytes: Uint8Array) => {
  const directory = join(dirname(fixture.socketPath), "pending-del");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), bytes);
  return join(directory, name);
};

test("a start consumes tombstones: of known, unknown and newer attachments, and puts a damaged one aside", async () => {
  const old = Date.now() - 60_000;
  for (const containerId of ["deleted", "again"]) await call(fixture.socketPath, request("ADD", { containerId }));
  await fixture.server.close();
  leave("1.del", encodeRequest(request("DEL", { containerId: "deleted", startedAtMs: Date.now() })));
  leave("2.del", encodeRequest(request("DEL", { containerId: "again", startedAtMs: old })));
  leave("3.del", encodeRequest(request("DEL", { containerId: "unknown", stdin: "{" })));
  const damaged = leave("4.del", Buffer.from("BWQ1"));
  const { recovery } = await fixture.restart();
  assert.deepEqual(
    recovery.tombstones.map(({ containerId, applied }) => [containerId, applied]),
    [
      ["deleted", true],
      ["again", false],
      ["unknown", true],
    ],
  );
  assert.deepEqual(
    fixture.server.records().map(({ containerId }) => containerId),
    ["again"],
  );
  assert.ok(fixture.network.operations.includes("detach unknown/eth0"));
  assert.deepEqual([existsSync(damaged), existsSync(`${damaged}.damaged`)], [false, true]);
});

test("a tombstone that appears while the server runs is consumed", async () => {
  await call(fixture.socketPath, request("ADD"));
  const removed = new Promise<void>((resolve) =>
    fixture.server.onChange(({ kind }) => kind === "removed" && resolve()),
  );
  leave("late.del", encodeRequest(request("DEL")));
  await removed;
  assert.equal(fixture.network.attachments.size, 0);
});
