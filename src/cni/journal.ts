/**
 * The one file of the CNI server: which attachment has which addresses, appended before a runtime is told (format:
 * journal-entry.ts). It survives SIGKILL and power loss at any instant.
 *
 * Group commit: while one batch is on its way to the disk, entries of other calls gather and become the next batch, so
 * a hundred ADDs cost a few fdatasyncs. Entries that may be lost with the power (it takes the namespaces along anyway)
 * are only written: SIGKILL does not lose what write() took.
 *
 * When a write fails, the file is cut back to its last good byte before the next one. Deletions that could not be
 * written are owed and go out with the next batch, so a full disk never stops a DEL.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { encodeBatch, FORMAT_VERSION, type JournalEntry, type JournalState, replayJournal } from "./journal-entry.ts";
import { type JournalFile, openJournalFile } from "./journal-file.ts";

export interface JournalOptions {
  /** Everything a new file must say, but for the format entry. Called when the file is written anew. */
  readonly snapshot: () => readonly JournalEntry[];
  /** Compact when this many entries have been appended since the last time. @default 4096 */
  readonly compactAfter?: number;
  /** @default openJournalFile */
  readonly openFile?: (path: string) => JournalFile;
}

interface Waiting {
  readonly entries: readonly JournalEntry[];
  readonly durable: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Under steady load compaction waits for a pause, up to this many times `compactAfter`. */
const COMPACTION_PATIENCE = 4;

export class Journal {
  readonly path: string;
  private readonly options: Required<JournalOptions>;
  private file: JournalFile | undefined;
  private goodBytes = 0;
  /** Something may stand behind `goodBytes` that no reader should see. */
  private damagedTail = false;
  private queue: Waiting[] = [];
  private owed: readonly JournalEntry[] = [];
  private appended = 0;
  private draining: Promise<void> | undefined;

  constructor(path: string, options: JournalOptions) {
    this.path = path;
    const { snapshot, compactAfter = 4096, openFile = openJournalFile } = options;
    this.options = { snapshot, compactAfter, openFile };
  }

  /**
   * What the file says; an empty state when there is none. Does not write.
   * @throws BreakwaterError BW_JOURNAL_CORRUPT, BW_JOURNAL_READ
   */
  static async read(path: string): Promise<JournalState> {
    try {
      return replayJournal(await readFile(path), path);
    } catch (error) {
      if (error instanceof BreakwaterError) throw error;
      if (errnoOf(error) === "ENOENT") return replayJournal(Buffer.alloc(0), path);
      throw journalError("BW_JOURNAL_READ", "read", path, error);
    }
  }

  /**
   * Opens for appending behind `goodBytes` of what {@link read} saw, and writes the file anew from the snapshot. On a
   * full disk, where that is impossible, the old file goes on: pods must be deletable on it.
   * @returns why the file could not be written anew
   */
  async start(goodBytes: number): Promise<BreakwaterError | undefined> {
    try {
      await this.compact();
      return undefined;
    } catch (cause) {
      if (this.file === undefined) {
        this.file = this.options.openFile(this.path);
        this.goodBytes = goodBytes;
        this.damagedTail = true;
      }
      return journalError("BW_JOURNAL_WRITE", "write", this.path, cause);
    }
  }

  /**
   * Appends entries as one unit: all or none are there after a crash. Resolves when they are on the disk (`durable`) or
   * taken by the kernel. Rejected entries that are not durable are owed: they are written as soon as that is possible.
   * @throws BreakwaterError BW_JOURNAL_WRITE
   */
  append(entries: readonly JournalEntry[], durable: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.queue.push({ entries, durable, resolve, reject });
      this.draining ??= this.drain();
    });
  }

  /** Waits until everything that was appended is written. */
  async close(): Promise<void> {
    while (this.draining !== undefined) await this.draining;
    this.file?.close();
    this.file = undefined;
  }

  /** Begins in the caller's turn: the first batch is on its way when append() returns. */
  private async drain(): Promise<void> {
    try {
      while (this.queue.length > 0) {
        const batch = this.queue;
        this.queue = [];
        await this.commit(batch);
        await this.compactWhenDue();
      }
    } finally {
      this.draining = undefined;
    }
  }

  private async commit(batch: readonly Waiting[]): Promise<void> {
    const before = this.goodBytes;
    const volatile = batch.filter((waiting) => !waiting.durable);
    try {
      this.write([...this.owed, ...batch.flatMap((waiting) => waiting.entries)]);
      for (const waiting of volatile) waiting.resolve();
      if (volatile.length < batch.length) await this.openFile().datasync();
      this.owed = [];
      for (const waiting of batch) waiting.resolve();
    } catch (error) {
      this.goodBytes = before;
      this.damagedTail = true;
      this.owed = [...this.owed, ...volatile.flatMap((waiting) => waiting.entries)];
      const failure = journalError("BW_JOURNAL_WRITE", "append to", this.path, error);
      for (const waiting of batch) waiting.reject(failure);
    }
  }

  private write(entries: readonly JournalEntry[]): void {
    const file = this.openFile();
    if (this.damagedTail) file.truncate(this.goodBytes);
    this.damagedTail = false;
    const bytes = Buffer.from(encodeBatch(entries));
    for (let at = 0; at < bytes.length; ) at += file.write(bytes.subarray(at));
    this.goodBytes += bytes.length;
    this.appended += entries.length;
  }

  private async compactWhenDue(): Promise<void> {
    const { compactAfter } = this.options;
    const due = this.queue.length === 0 ? compactAfter : compactAfter * COMPACTION_PATIENCE;
    if (this.appended < due || this.damagedTail) return;
    this.appended = 0;
    // Compaction only saves space: when it fails the old file goes on, and it is tried again later.
    await this.compact().catch(() => undefined);
  }

  /** A new file under a temporary name, on the disk before it takes the old one's place. */
  private async compact(): Promise<void> {
    const temporary = `${this.path}.new`;
    rmSync(temporary, { force: true });
    const file = this.options.openFile(temporary);
    const bytes = Buffer.from(encodeBatch([{ op: "format", version: FORMAT_VERSION }, ...this.options.snapshot()]));
    try {
      for (let at = 0; at < bytes.length; ) at += file.write(bytes.subarray(at));
      await file.datasync();
      renameSync(temporary, this.path);
    } catch (error) {
      file.close();
      rmSync(temporary, { force: true });
      throw error;
    }
    this.file?.close();
    this.file = file;
    this.goodBytes = bytes.length;
    this.damagedTail = false;
    this.appended = 0;
    syncDirectory(dirname(this.path));
  }

  private openFile(): JournalFile {
    if (this.file === undefined) throw new RangeError(`Journal ${this.path} is not open`);
    return this.file;
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

function journalError(code: string, verb: string, path: string, cause: unknown): BreakwaterError {
  const errno = errnoOf(cause);
  const full = errno === "ENOSPC" || errno === "EDQUOT";
  return new BreakwaterError(code, `Cannot ${verb} the journal ${path}: ${messageOf(cause)}`, {
    operation: `${verb} journal`,
    object: path,
    errno,
    remedy: full ? "make room on the disk that holds it" : "see the disk that holds it (dmesg, mount options)",
    cause,
  });
}
