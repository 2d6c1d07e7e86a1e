/** `breakwater host chain` as a process: what it leaves where it measures, however it ends. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";

const PROGRAM = join(import.meta.dirname, "main.ts");

function aFolder(t: TestContext): string {
  const folder = fs.mkdtempSync(join(tmpdir(), "breakwater-chain-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  return folder;
}

function chain(t: TestContext, ...args: readonly string[]) {
  // No agent on this machine is meant.
  const all = [PROGRAM, "host", "chain", "--no-api", "--metrics-address", "127.0.0.1:1", ...args];
  const child = spawn(process.execPath, all, { stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let errors = "";
  child.stderr.on("data", (part) => (errors += part));
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, errors }));
  return { child, ended };
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`host chain ended by ${signal} leaves no file on the disk that it measures`, async (t) => {
    const folder = aFolder(t);
    const watch = fs.watch(folder);
    t.after(() => watch.close());
    const { child, ended } = chain(t, "--disk", folder, "--seconds", "60");
    await Promise.race([once(watch, "change"), ended]);
    assert.equal(fs.readdirSync(folder).length, 1, "it has begun");
    child.kill(signal);
    assert.deepEqual(await ended, { code: null, signal, errors: "" });
    assert.deepEqual(fs.readdirSync(folder), []);
  });
}

test("host chain: a certificate that cannot be read is said before anything is measured", async (t) => {
  const folder = aFolder(t);
  const missing = join(folder, "no.crt");
  const { ended } = chain(t, "--disk", folder, "--etcd", "https://127.0.0.1:1", "--etcd-cert", missing);
  const { code, errors } = await ended;
  assert.equal(code, 2);
  assert.match(errors, /Cannot read .*no\.crt: ENOENT/);
  assert.deepEqual(fs.readdirSync(folder), []);
});
