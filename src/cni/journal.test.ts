import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import { Journal, type JournalOptions } from "./journal.ts";
import { encodeBatch, type JournalEntry, replayJournal } from "./journal-entry.ts";
import { type JournalFile, openJournalFile } from "./journal-file.ts";
import type { PodRecord } from "./pod-record.ts";

let directory = "";
let path = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "bw-journal-"));
  path = join(directory, "attachments.jsonl");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function add(n: number): JournalEntry & { op: "add" } {
  const record: PodRecord = {
    ...{ network: "breakwater", containerId: `c${n}`, ifname: "eth0", netns: `/run/netns/${n}` },
    ...{ ips: [`10.244.1.${n}`], addedAtMs: n },
  };
  return { op: "add", record };
}

const del = (n: number): JournalEntry => ({ op: "del", key: `c${n}/eth0`, atMs: 100 + n });

async function openJournal(options: Partial<JournalOptions> = {}): Promise<Journal> {
  const journal = new Journal(path, { snapshot: () => [], ...options });
  assert.equal(await journal.start(0), undefined);
  return journal;
}

const keysOf = async () => [...(await Journal.read(path)).records.keys()];

/** The real file, with a disk that fills up on demand: half of a batch is taken, then ENOSPC. */
function fillableFile(disk: { full: boolean; syncs: number }): (path: string) => JournalFile {
  return (name) => {
    const file = openJournalFile(name);
    const enospc = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    let halves = 0;
    return {
      ...file,
      write: (bytes) => {
        if (!disk.full) return file.write(bytes);
        if (halves++ % 2 === 0) return file.write(bytes.subarray(0, bytes.length >> 1));
        throw enospc;
      },
      datasync: async () => {
        disk.syncs++;
        await file.datasync();
      },
    };
  };
}

test("Journal.read() of a missing file is an empty state", async () => {
  const state = await Journal.read(path);
  assert.deepEqual([state.records.size, state.goodBytes, state.tornBytes], [0, 0, 0]);
});

test("Journal.append() is read back, with what rests and where the walk is", async () => {
  const journal = await openJournal();
  await journal.append([add(1)], true);
  await Promise.all([journal.append([add(2)], true), journal.append([del(1)], false)]);
  const attached = { hostIfname: "bw1", hostMac: "02:00:00:00:00:01", podMac: "02:00:00:00:00:02", mtuBytes: 1450 };
  await journal.append([{ op: "attached", key: "c2/eth0", attached }], false);
  await journal.close();
  const state = await Journal.read(path);
  assert.deepEqual([...state.records.values()], [{ ...add(2).record, attached }]);
  assert.deepEqual([...state.resting], [["10.244.1.1", 101]]);
  assert.equal(state.cursors.at(-1), "10.244.1.2");
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("Journal.append() of a hundred calls at once costs two batches, and deletions alone no datasync", async () => {
  const disk = { full: false, syncs: 0 };
  const journal = await openJournal({ openFile: fillableFile(disk) });
  disk.syncs = 0;
  await Promise.all(Array.from({ length: 100 }, (_, n) => journal.append([add(n)], true)));
  assert.equal(disk.syncs, 2);
  await journal.append([del(1)], false);
  assert.equal(disk.syncs, 2);
  await journal.close();
  assert.equal((await keysOf()).length, 99);
});

test("replayJournal() drops a torn last line at every length it can have", () => {
  const head = Buffer.from(encodeBatch([add(1)]));
  const last = Buffer.from(encodeBatch([add(2), add(3)]));
  for (let length = 1; length < last.length; length++) {
    const state = replayJournal(Buffer.concat([head, last.subarray(0, length)]), path);
    assert.deepEqual([[...state.records.keys()], state.goodBytes, state.tornBytes], [["c1/eth0"], head.length, length]);
  }
});

test("replayJournal() drops a last line whose blocks never reached the disk (NUL bytes)", () => {
  const head = Buffer.from(encodeBatch([add(1)]));
  const last = Buffer.from(encodeBatch([add(2)]));
  last.fill(0, 20, 40);
  assert.equal(replayJournal(Buffer.concat([head, last]), path).tornBytes, last.length);
});

const good = encodeBatch([add(1)]);
for (const [name, text, line] of [
  ["a flipped bit in an earlier line", good.replace("10.244.1.1", "10.244.1.3") + good, 1],
  ["a flipped bit in the last line", good + good.replace("10.244.1.1", "10.244.1.3"), 2],
  ["a line that is none of ours", `${good}hello\n`, 2],
  ["a line that is cut in the middle of the file", `${good.slice(0, 30)}\n${good}`, 1],
  ["NUL bytes before the last line", `${good}\0\0\0\n${good}`, 2],
  ["an empty line", `${good}\n${good}`, 2],
  ["a format of the future", encodeBatch([{ op: "format", version: 2 }]), 1],
  ["an entry of unknown kind", good + encodeBatch([{ op: "move" } as unknown as JournalEntry]), 2],
] as const) {
  test(`Journal.read() refuses ${name}, and names file and line`, async () => {
    writeFileSync(path, text);
    await assert.rejects(Journal.read(path), (error) => {
      assert.ok(isBreakwaterError(error, "BW_JOURNAL_CORRUPT"));
      assert.equal(error.object, `${path}:${line}`);
      assert.match(error.remedy ?? "", /restore|drain/);
      return true;
    });
    assert.equal(readFileSync(path, "utf8"), text);
  });
}

test("Journal.start() leaves no torn tail for the next reader", async () => {
  writeFileSync(path, good);
  appendFileSync(path, good.slice(0, 20));
  const { records, goodBytes } = await Journal.read(path);
  const journal = new Journal(path, { snapshot: () => [...records.values()].map((record) => ({ op: "add", record })) });
  await journal.start(goodBytes);
  await journal.append([add(2)], true);
  await journal.close();
  assert.deepEqual(await keysOf(), ["c1/eth0", "c2/eth0"]);
});

test("Journal.append() on a full disk fails with ENOSPC and leaves nothing; deletions are owed and written later", async () => {
  const disk = { full: false, syncs: 0 };
  const journal = await openJournal({ openFile: fillableFile(disk) });
  await journal.append([add(1)], true);
  disk.full = true;
  const isFull = (error: unknown) =>
    isBreakwaterError(error, "BW_JOURNAL_WRITE") && error.errno === "ENOSPC" && /make room/.test(error.remedy ?? "");
  await assert.rejects(journal.append([add(2)], true), isFull);
  await assert.rejects(journal.append([del(1)], false), isFull);
  assert.deepEqual(await keysOf(), ["c1/eth0"]);
  disk.full = false;
  await journal.append([add(3)], true);
  await journal.close();
  assert.deepEqual(await keysOf(), ["c3/eth0"]);
});

test("Journal.append() that the disk lost at datasync is cut off again", async () => {
  const eio = Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO" });
  let broken = false;
  const openFile = (name: string): JournalFile => {
    const file = openJournalFile(name);
    return { ...file, datasync: () => (broken ? Promise.reject(eio) : file.datasync()) };
  };
  const journal = await openJournal({ openFile });
  broken = true;
  await assert.rejects(journal.append([add(1)], true), /EIO/);
  broken = false;
  await journal.append([add(2)], true);
  await journal.close();
  assert.deepEqual(await keysOf(), ["c2/eth0"]);
});

test("Journal.start() on a full disk goes on with the old file", async () => {
  writeFileSync(path, good);
  const disk = { full: true, syncs: 0 };
  const { goodBytes } = await Journal.read(path);
  const journal = new Journal(path, { snapshot: () => [], openFile: fillableFile(disk) });
  assert.ok(isBreakwaterError(await journal.start(goodBytes), "BW_JOURNAL_WRITE"));
  assert.deepEqual(await keysOf(), ["c1/eth0"]);
  disk.full = false;
  await journal.append([del(1)], false);
  await journal.close();
  assert.deepEqual(await keysOf(), []);
});

test("Journal compacts to its snapshot once enough was appended, and goes on in the new file", async () => {
  const live = new Map<number, JournalEntry>();
  const journal = await openJournal({ compactAfter: 50, snapshot: () => [...live.values()] });
  for (let n = 1; n <= 200; n++) {
    live.set(n, add(n));
    await journal.append([add(n)], true);
    live.delete(n - 1);
    await journal.append([del(n - 1)], false);
  }
  await journal.close();
  assert.deepEqual(await keysOf(), ["c200/eth0"]);
  assert.ok(readFileSync(path, "utf8").split("\n").length < 60);
  assert.equal(existsSync(`${path}.new`), false);
});
