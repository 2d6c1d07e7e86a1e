import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { isBreakwaterError } from "../../model/errors.ts";
import { BirdControl } from "./bird-control.ts";

const folder = mkdtempSync(join(tmpdir(), "breakwater-bird-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Somebody on a socket who says and answers what the test wants. */
async function speaker(
  name: string,
  greet: string,
  answer: (command: string, socket: Socket) => void,
): Promise<{ path: string; server: Server }> {
  const path = join(folder, name);
  const server = createServer((socket) => {
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
    if (greet !== "") socket.write(greet);
    socket.on("data", (text: string) => {
      for (const line of text.split("\n").filter((each) => each !== "")) answer(line, socket);
    });
  });
  await new Promise<void>((listening) => server.listen(path, listening));
  server.unref();
  return { path, server };
}

const GREETING = "0001 BIRD 2.0.12 ready.\n";

test("BirdControl.open() knows BIRD's version from its greeting", async () => {
  const { path } = await speaker("greets", GREETING, () => undefined);
  const control = await BirdControl.open(path);
  assert.equal(control.version, "BIRD 2.0.12");
  control.close();
  await control.closed;
});

test("BirdControl.command() asks one thing at a time, in order", async () => {
  const asked: string[] = [];
  const { path } = await speaker("orders", GREETING, (command, socket) => {
    asked.push(command);
    setTimeout(() => socket.write(`0000 ${command}\n`), 5);
  });
  const control = await BirdControl.open(path);
  const answers = await Promise.all(["one", "two", "three"].map((command) => control.command(command)));
  assert.deepEqual(asked, ["one", "two", "three"]);
  assert.deepEqual(
    answers.map(({ text }) => text),
    ["one", "two", "three"],
  );
  control.close();
});

test("BirdControl.open() says who is missing when nobody listens", async () => {
  await assert.rejects(BirdControl.open(join(folder, "nobody")), (error) => {
    assert.ok(isBreakwaterError(error, "BW_BGP_CONTROL"));
    assert.equal(error.errno, "ENOENT");
    assert.match(error.message, /nobody: connect ENOENT/);
    return true;
  });
});

test("a BIRD that does not greet is given up in time", async () => {
  const { path } = await speaker("silent", "", () => undefined);
  await assert.rejects(BirdControl.open(path, 50), { code: "BW_BGP_CONTROL", errno: "ETIMEDOUT" });
});

test("a BIRD that stops answering is given up in time, with all that was asked of it, and known to hang", async () => {
  const { path } = await speaker("hangs", GREETING, () => undefined);
  const control = await BirdControl.open(path, 50);
  const results = await Promise.allSettled([control.command("show status"), control.command("show protocols")]);
  for (const result of results) {
    assert.equal(result.status, "rejected");
    assert.match(String(result.reason.message), /no answer within 0\.05 s to "show status"/);
  }
  await control.closed;
  assert.equal(control.hung, true);
  await assert.rejects(control.command("show status"), { code: "BW_BGP_CONTROL" });
});

test("the end of BIRD rejects what was asked, and is told of", async () => {
  const { path } = await speaker("ends", GREETING, (_command, socket) => socket.destroy());
  const control = await BirdControl.open(path);
  await assert.rejects(control.command("show status"), { code: "BW_BGP_CONTROL" });
  await control.closed;
  assert.equal(control.hung, false);
});

test("somebody else on the socket is not taken for BIRD", async () => {
  const { path } = await speaker("stranger", "220 mail.example ESMTP\n", () => undefined);
  await assert.rejects(BirdControl.open(path), { code: "BW_BGP_CONTROL", message: /BIRD says "220 mail/ });
  const { path: other } = await speaker("refuser", "8007 Access denied\n", () => undefined);
  await assert.rejects(BirdControl.open(other), { code: "BW_BGP_CONTROL", message: /greets with 8007 Access denied/ });
});
