/** Files that others read at any moment: seen whole or not at all, and there after a power loss. */
import { closeSync, fchmodSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/**
 * Writes aside under a hidden name, which neither runtimes nor people take for the file, and renames.
 * @param durable false: of no use behind a power loss, so that nobody waits for the disk
 */
export function writeFileAtomic(path: string, content: string | Uint8Array, mode: number, durable = true): void {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true });
  const temporary = join(directory, `.${basename(path)}.${process.pid}.new`);
  try {
    const fd = openSync(temporary, "w", mode);
    try {
      writeFileSync(fd, content);
      // The mode given to open() passes through the umask.
      fchmodSync(fd, mode);
      if (durable) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
