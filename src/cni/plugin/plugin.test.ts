/** The compiled plugin as a runtime executes it: against the real server, against none, against a broken one. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { decodeRequest } from "../frame.ts";
import type { JsonObject } from "../network-config.ts";
import { config, type Fixture, startFixture } from "../server-fixture.ts";

const BUILD = join(import.meta.dirname, "build.sh");
let directory = "";
let binary = "";
let fixture: Fixture | undefined;
let fake: Server | undefined;

before(() => {
  directory = mkdtempSync(join(tmpdir(), "bw-plugin-"));
  binary = join(directory, "breakwater-cni");
  execFileSync(BUILD, [binary], { stdio: "pipe" });
});
after(() => rmSync(directory, { recursive: true, force: true }));
afterEach(async () => {
  await fixture?.close();
  await new Promise((resolve) => (fake === undefined ? resolve(0) : fake.close(resolve)));
  fixture = undefined;
  fake = undefined;
  rmSync(join(directory, "run"), { recursive: true, force: true });
});

interface Ran {
  readonly status: number | null;
  readonly text: string;
  readonly body: JsonObject;
}

/** Executes the plugin; `stdin` of null leaves it open without a byte. */
function run(command: string, env: Record<string, string>, stdin: string | Uint8Array | null = config()): Promise<Ran> {
  const names = { CNI_CONTAINERID: "c1", CNI_NETNS: "/run/netns/none", CNI_IFNAME: "eth0", CNI_PATH: "/opt/cni/bin" };
  const child = spawn(binary, [], {
    env: { CNI_COMMAND: command, ...names, ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  // A plugin that has read enough does not read the rest.
  child.stdin.on("error", () => undefined);
  if (stdin !== null) child.stdin.end(stdin);
  return new Promise((resolve) =>
    child.on("close", (status) => {
      child.stdin.destroy();
      const text = Buffer.concat(chunks).toString();
      resolve({ status, text, body: JSON.parse(text || "{}") as JsonObject });
    }),
  );
}

const away = () => ({ BREAKWATER_CNI_SOCKET: join(directory, "run", "cni.sock") });
const pending = () => join(directory, "run", "pending-del");

async function withServer(): Promise<{ fixture: Fixture; env: Record<string, string> }> {
  fixture = await startFixture();
  return { fixture, env: { BREAKWATER_CNI_SOCKET: fixture.socketPath } };
}

async function withFakeServer(onConnection: (socket: Socket) => void): Promise<Record<string, string>> {
  mkdirSync(join(directory, "run"));
  fake = createServer(onConnection);
  await new Promise<void>((resolve) => fake?.listen(away().BREAKWATER_CNI_SOCKET, resolve));
  return away();
}

test("ADD, CHECK, STATUS, GC and DEL pass through the plugin to the server and back", async () => {
  const { fixture: real, env } = await withServer();
  const added = await run("ADD", env);
  assert.deepEqual([added.status, (added.body["ips"] as JsonObject[])[0]?.["address"]], [0, "10.244.1.1/32"]);
  assert.equal((await run("CHECK", env, config({ prevResult: added.body }))).status, 0);
  assert.equal((await run("STATUS", env)).status, 0);
  const deleted = await run("DEL", env);
  assert.deepEqual([deleted.status, deleted.text], [0, ""]);
  await run("ADD", env);
  assert.equal((await run("GC", env, config({ "cni.dev/valid-attachments": [] }))).status, 0);
  assert.deepEqual([real.server.records(), real.network.attachments.size], [[], 0]);
});

test("an error of the server is printed and makes the exit status", async () => {
  const { env } = await withServer();
  const failed = await run("ADD", { ...env, CNI_IFNAME: "a/b" });
  assert.deepEqual([failed.status, failed.body["code"]], [1, 4]);
});

for (const [name, stdin, code] of [
  ["truncated JSON", '{"cniVersion":"1.0.0","na', 6],
  ["nothing", "", 6],
  ["NUL bytes", "{\0\0}", 6],
  ["bytes that are no UTF-8", Uint8Array.of(0x7b, 0xff, 0x7d), 6],
  ["wrong types", '{"cniVersion":"1.0.0","name":[]}', 7],
  ["a list", "[]", 6],
  ["10 MB", Buffer.alloc(10_000_000, "x"), 6],
  ["1 MiB and a byte", `${config()}${" ".repeat(1024 * 1024 + 1 - config().length)}`, 6],
] as const) {
  test(`ADD with ${name} on stdin: one error, code ${code}, and nothing is left`, async () => {
    const { fixture: real, env } = await withServer();
    const failed = await run("ADD", env, stdin);
    assert.deepEqual([failed.status, failed.body["code"]], [1, code], failed.text);
    assert.deepEqual([real.server.records(), real.network.operations], [[], []]);
  });
}

test("ADD with exactly 1 MiB on stdin is served", async () => {
  const { env } = await withServer();
  assert.equal((await run("ADD", env, `${config()}${" ".repeat(1024 * 1024 - config().length)}`)).status, 0);
});

for (const [name, stdin] of [
  ["the plain key", (path: string) => `{"socket":"${path}","name":"x"}`],
  ["escapes in key and value", (path: string) => `{"so\\u0063ket":"${path.replaceAll("/", "\\/")}"}`],
  ["decoys deeper down", (path: string) => `{"a":[{"socket":"/no"},"}"],"b":{"socket":"/no"},"socket":"${path}"}`],
  ["a duplicate, the last one counts", (path: string) => `{"socket":"/no","socket":"${path}"}`],
] as const) {
  test(`the socket of the configuration is found: ${name}`, async () => {
    const { fixture: real } = await withServer();
    const { body } = await run("STATUS", {}, stdin(real.socketPath));
    assert.equal(body["code"], 1, "the server answers: no cniVersion");
  });
}

test("a socket path that cannot be one is refused by name", async () => {
  const long = `/${"x".repeat(200)}`;
  assert.deepEqual((await run("ADD", { BREAKWATER_CNI_SOCKET: long })).body["code"], 4);
  assert.deepEqual((await run("ADD", {}, config({ socket: "relative" }))).body["code"], 7);
});

for (const [cniVersion, expected] of [
  ["0.4.0", "0.4.0"],
  ["1.0.0", "1.0.0"],
  ["9.9.9", "1.1.0"],
  [undefined, "1.1.0"],
] as const) {
  test(`VERSION answers without a server, in version ${expected} to ${cniVersion}`, async () => {
    const { status, body } = await run("VERSION", away(), JSON.stringify({ cniVersion }));
    const supportedVersions = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
    assert.deepEqual([status, body], [0, { cniVersion: expected, supportedVersions }]);
  });
}

for (const [command, code] of [
  ["ADD", 11],
  ["CHECK", 11],
  ["GC", 11],
  ["STATUS", 50],
  ["", 4],
  ["add", 4],
] as const) {
  test(`${command || "no command"} without a server: code ${code}, in the configuration's version, with details`, async () => {
    const { status, body } = await run(command, away(), config({ cniVersion: "0.4.0" }));
    assert.deepEqual([status, body["code"]], [1, code]);
    assert.equal(body["cniVersion"], code === 4 ? "1.1.0" : "0.4.0");
    assert.ok(String(body["details"]).length > 0);
  });
}

test("DEL without a server succeeds and leaves a tombstone that says all a DEL says", async () => {
  const stdin = config({ prevResult: { x: "\u0000" } });
  const { status, text } = await run("DEL", { ...away(), CNI_ARGS: "A=b" }, stdin);
  assert.deepEqual([status, text], [0, ""]);
  const [name = "", ...others] = readdirSync(pending());
  assert.deepEqual(others, []);
  assert.match(name, /^c1_eth0-[0-9a-f]{16}\.del$/);
  const { startedAtMs, ...left } = decodeRequest(readFileSync(join(pending(), name)));
  const names = { containerId: "c1", netns: "/run/netns/none", ifname: "eth0", args: "A=b", path: "/opt/cni/bin" };
  assert.deepEqual(left, { command: "DEL", ...names, stdin });
  assert.ok(Math.abs(Date.now() - startedAtMs) < 60_000);
});

test("DEL without a server: names that look like paths stay inside the directory, twice is once", async () => {
  const env = { ...away(), CNI_CONTAINERID: "../../../x", CNI_IFNAME: "../y" };
  assert.deepEqual([(await run("DEL", env)).status, (await run("DEL", env)).status], [0, 0]);
  assert.deepEqual(readdirSync(directory).sort(), ["breakwater-cni", "run"]);
  assert.equal(readdirSync(pending()).length, 1);
});

test("DEL without a server answers 11 when the tombstone cannot be written, 4 without a container", async () => {
  writeFileSync(join(directory, "run"), "no directory");
  const { status, body } = await run("DEL", away());
  assert.deepEqual([status, body["code"]], [1, 11]);
  assert.match(String(body["msg"]), /cannot be left for it: Not a directory/);
  assert.equal((await run("DEL", { ...away(), CNI_CONTAINERID: "" })).body["code"], 4);
});

test("DEL without a server, then a server: the attachment is gone", async () => {
  const { fixture: real, env } = await withServer();
  await run("ADD", env);
  await real.server.close();
  assert.equal((await run("DEL", env)).status, 0);
  const { recovery } = await real.restart();
  assert.deepEqual(recovery.tombstones, [{ containerId: "c1", ifname: "eth0", applied: true }]);
  assert.deepEqual([real.server.records(), real.network.attachments.size], [[], 0]);
  assert.deepEqual(readdirSync(join(real.directory, "run", "pending-del")), []);
});

for (const [name, onConnection, message] of [
  ["never answers", () => undefined, /does not answer in time/],
  ["ends at once", (socket: Socket) => socket.destroy(), /ended before it answered/],
  ["sends half an answer", (socket: Socket) => socket.end("BWA1\0\0\0\0\0\0\0\x09half"), /ended before it answered/],
  ["sends something else", (socket: Socket) => socket.end("HTTP/1.1 200 OK\r\n\r\n"), /no answer/],
  ["promises too much", (socket: Socket) => socket.end("BWA1\0\0\0\0\x7f\xff\xff\xffx"), /no answer/],
] as const) {
  test(`a server that ${name}: ADD answers 11, DEL leaves a tombstone`, async () => {
    const sockets: Socket[] = [];
    const env = await withFakeServer((socket) => {
      sockets.push(socket.on("error", () => undefined));
      onConnection(socket);
    });
    const slow = { ...env, BREAKWATER_CNI_TIMEOUT_MS: "150" };
    const added = await run("ADD", slow);
    assert.deepEqual([added.status, added.body["code"]], [1, 11], added.text);
    assert.match(String(added.body["msg"]), message);
    assert.equal((await run("DEL", slow)).status, 0);
    assert.equal(readdirSync(pending()).length, 1);
    for (const socket of sockets) socket.destroy();
  });
}

test("stdin that never ends is given up on with code 5", async () => {
  const { status, body } = await run("ADD", { ...away(), BREAKWATER_CNI_TIMEOUT_MS: "100" }, null);
  assert.deepEqual([status, body["code"]], [1, 5]);
});

test("500 ADDs and DELs, 10 at once, through the binary: no failure, no address twice, no leak", async () => {
  const { fixture: real, env } = await withServer();
  real.network.cidrs = ["10.244.1.0/26"];
  const ids = Array.from({ length: 500 }, (_, i) => `pair${i}`);
  const worker = async () => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      const added = await run("ADD", { ...env, CNI_CONTAINERID: id });
      assert.equal(added.status, 0, added.text);
      const deleted = await run("DEL", { ...env, CNI_CONTAINERID: id });
      assert.equal(deleted.status, 0, deleted.text);
    }
  };
  await Promise.all(Array.from({ length: 10 }, worker));
  assert.deepEqual([real.server.records(), real.network.attachments.size], [[], 0]);
  assert.deepEqual(
    real.server.usage().map(({ used }) => used),
    [0],
  );
  assert.equal(real.network.operations.length, 1000);
});

test("the fuzz harness finds nothing in 200,000 inputs", () => {
  const harness = join(directory, "run-fuzz");
  execFileSync(BUILD, [harness, "fuzz"], { stdio: "pipe" });
  assert.match(execFileSync(harness, ["200000", "1"], { encoding: "utf8" }), /200000 inputs, no finding/);
  rmSync(harness);
});

test("build.sh without a compiler says what to install and leaves nothing", () => {
  const out = join(directory, "none");
  const build = () =>
    execFileSync(BUILD, [out], { env: { PATH: process.env["PATH"], CC: "no-such-cc" }, stdio: "pipe" });
  assert.throws(build, /install gcc and libc6-dev/);
  assert.equal(existsSync(out), false);
});
