/**
 * The open file under the journal, as an interface, so that tests can fill the disk.
 *
 * Writes are synchronous: a line of a few hundred bytes goes into the page cache in some microseconds, less than a trip
 * to the thread pool, and it is on its way before attach() keeps the event loop busy with netlink. What waits for the
 * disk, datasync(), is not.
 */
import { closeSync, fdatasync, ftruncateSync, openSync, writeSync } from "node:fs";
import { promisify } from "node:util";

export interface JournalFile {
  /** Appends; may take fewer bytes than it was given. Throws as write(2) fails. */
  write(bytes: Uint8Array): number;
  truncate(length: number): void;
  /** Resolves when everything written is on the disk. */
  datasync(): Promise<void>;
  close(): void;
}

const fdatasyncAsync = promisify(fdatasync);

/** Opens for appending, and makes the file where it is missing, for its owner alone. */
export function openJournalFile(path: string): JournalFile {
  const fd = openSync(path, "a", 0o600);
  return {
    write: (bytes) => writeSync(fd, bytes),
    truncate: (length) => ftruncateSync(fd, length),
    datasync: () => fdatasyncAsync(fd),
    close: () => closeSync(fd),
  };
}
