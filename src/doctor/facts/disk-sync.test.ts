import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isBreakwaterError } from "../../model/errors.ts";
import { measureDiskSync } from "./disk-sync.ts";

function aFolder(t: TestContext, parent = tmpdir()): string {
  const folder = fs.mkdtempSync(join(parent, "breakwater-disk-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  return folder;
}

test("measureDiskSync() measures, and leaves no file", async (t) => {
  const folder = aFolder(t);
  const { fdatasync, bytesAWrite } = await measureDiskSync({ folder, seconds: 0.2 });
  assert.ok(fdatasync.samples >= 1);
  assert.ok(fdatasync.p50Ms > 0 && fdatasync.p99Ms >= fdatasync.p50Ms && fdatasync.maxMs >= fdatasync.p999Ms);
  assert.equal(bytesAWrite, 2300);
  assert.deepEqual(fs.readdirSync(folder), []);
});

test("measureDiskSync() says that memory is no disk", {
  skip: fs.existsSync("/dev/shm") ? false : "no tmpfs",
}, async (t) => {
  const report = await measureDiskSync({ folder: aFolder(t, "/dev/shm"), seconds: 0.05 });
  assert.equal(report.fileSystem, "tmpfs");
  assert.equal(report.isDurable, false);
});

test("measureDiskSync() says which folder, and why it cannot", async (t) => {
  const folder = aFolder(t);
  fs.writeFileSync(join(folder, "file"), "");
  for (const [path, errno, remedy] of [
    [join(folder, "missing"), "ENOENT", /--data-dir/],
    [join(folder, "file"), "ENOTDIR", /a folder, not a file/],
    ["/proc", "ENOENT|EACCES|EPERM", /./],
  ] as const) {
    await assert.rejects(measureDiskSync({ folder: path, seconds: 0.05 }), (error) => {
      assert.ok(isBreakwaterError(error, "BW_DISK"), String(error));
      assert.match(error.message, new RegExp(`the disk of ${path}: (${errno})`));
      assert.match(error.remedy ?? "", remedy);
      return true;
    });
  }
});

test("measureDiskSync() can be stopped, and leaves no file", async (t) => {
  const folder = aFolder(t);
  const stop = new AbortController();
  const measuring = measureDiskSync({ folder, seconds: 60, signal: stop.signal });
  stop.abort();
  await assert.rejects(measuring, { name: "AbortError" });
  assert.deepEqual(fs.readdirSync(folder), []);
});
