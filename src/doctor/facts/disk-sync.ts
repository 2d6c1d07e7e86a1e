/**
 * Measures fdatasync(2) on the disk of a folder, gently: small writes one behind the other into a file that was written
 * before, as etcd's write-ahead log makes them (pkg/fileutil preallocates its segments, so that a sync writes no metadata),
 * with a pause behind each as long as it took: whoever else uses the disk keeps half of it.
 *
 * The same as etcd's own advice, `fio --rw=write --ioengine=sync --fdatasync=1 --size=22m --bs=2300`, but for the pauses.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { DiskReport } from "../../model/disk-report.ts";
import { BreakwaterError } from "../../model/errors.ts";
import { summarize } from "../../model/latency.ts";

export interface DiskSyncOptions {
  readonly folder: string;
  /** @default 3 */
  readonly seconds?: number;
  readonly signal?: AbortSignal;
}

/** What fio's example for etcd writes at once. */
const WRITE_BYTES = 2300;
/** All that the file ever holds: it is written over and over. */
const FILE_BYTES = 1024 * 1024;
const DEFAULT_SECONDS = 3;
/** A disk that is quick needs no more to be judged. */
const MOST_SAMPLES = 3000;
/** A pause has to be a timer's, and none is shorter. */
const LEAST_PAUSE_MS = 1;

/** f_type of statfs(2), include/uapi/linux/magic.h. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: "ext4",
  1481003842: "xfs",
  2435016766: "btrfs",
  16914836: "tmpfs",
  2240043254: "ramfs",
  2035054128: "overlay",
  1702057286: "fuse",
  26985: "nfs",
  801189825: "zfs",
  4076150800: "f2fs",
};
const IN_MEMORY = new Set(["tmpfs", "ramfs"]);

/** @throws BreakwaterError BW_DISK naming the folder: it is none, cannot be written, or is full */
export async function measureDiskSync(options: DiskSyncOptions): Promise<DiskReport> {
  const { folder, seconds = DEFAULT_SECONDS, signal } = options;
  const path = join(folder, `.breakwater-disk-${process.pid}-${randomBytes(4).toString("hex")}`);
  try {
    const { type } = await statfs(folder);
    const fileSystem = FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`;
    const file = await open(
      path,
      constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    const started = performance.now();
    let samples: number[];
    try {
      await file.write(Buffer.alloc(FILE_BYTES), 0, FILE_BYTES, 0);
      await file.sync();
      samples = await sample(file, performance.now() + seconds * 1000, signal);
    } finally {
      await file.close();
      await rm(path, { force: true });
    }
    return {
      folder,
      fileSystem,
      isDurable: !IN_MEMORY.has(fileSystem),
      bytesAWrite: WRITE_BYTES,
      seconds: Math.round((performance.now() - started) / 100) / 10,
      fdatasync: summarize(samples),
    };
  } catch (cause) {
    throw diskError(folder, cause);
  }
}

/** One at least, however slow the disk. */
async function sample(file: FileHandle, until: number, signal: AbortSignal | undefined): Promise<number[]> {
  const samples: number[] = [];
  const data = randomBytes(WRITE_BYTES);
  let position = 0;
  do {
    await file.write(data, 0, WRITE_BYTES, position);
    const started = performance.now();
    await file.datasync();
    const tookMs = performance.now() - started;
    samples.push(tookMs);
    position = position + 2 * WRITE_BYTES > FILE_BYTES ? 0 : position + WRITE_BYTES;
    await pause(Math.max(LEAST_PAUSE_MS, tookMs), undefined, { signal });
  } while (performance.now() < until && samples.length < MOST_SAMPLES);
  return samples;
}

function diskError(folder: string, cause: unknown): unknown {
  const errno = (cause as NodeJS.ErrnoException).code;
  if (errno === undefined || errno === "ABORT_ERR") return cause;
  const remedies: Readonly<Record<string, string>> = {
    ENOENT: "Name a folder that is there: etcd's is given by its --data-dir, often /var/lib/etcd",
    ENOTDIR: "Name a folder, not a file",
    EACCES: "Run it as root, or as the user that etcd runs as",
    EROFS: "The file system is mounted read-only: see dmesg for why",
    ENOSPC: "The disk is full: that alone stops etcd",
  };
  return new BreakwaterError("BW_DISK", `Cannot measure the disk of ${folder}: ${errno}`, {
    operation: "measure fdatasync",
    object: folder,
    errno,
    cause,
    remedy: remedies[errno] ?? "Read errno; see dmesg",
  });
}
