/**
 * The lock that all who change tables of iptables-legacy take (iptables(8), -w): a table is read, changed and put back
 * whole, and who does that beside another undoes the other's work.
 */
import { BreakwaterError } from "../../model/errors.ts";
import * as libc from "../libc.ts";

export const XTABLES_LOCK = "/run/xtables.lock";

const O_RDONLY_CREAT_CLOEXEC = 0x80040;
const LOCK_EX_NB = 6;
/** An iptables has it for some milliseconds. The agent has other work than to wait longer. */
const ATTEMPTS = 10;
const PAUSE_MS = 10;

/** Runs `body` with the lock, waiting 0.1 s for it at most. @throws BreakwaterError BW_XTABLES_LOCK: another has it */
export function withXtablesLock<T>(body: () => T, path = XTABLES_LOCK): T {
  const fd = libc.open(path, O_RDONLY_CREAT_CLOEXEC, 0o600);
  if (fd < 0) throw lockError("open", path, "Mount the host's /run/xtables.lock into the agent's container");
  try {
    if (!takeLock(fd)) {
      throw lockError(
        "take",
        path,
        "Tried again by itself; if it lasts: some iptables hangs, see lsof /run/xtables.lock",
      );
    }
    return body();
  } finally {
    libc.close(fd);
  }
}

function takeLock(fd: number): boolean {
  for (let attempt = 1; libc.flock(fd, LOCK_EX_NB) < 0; attempt++) {
    if (attempt === ATTEMPTS || libc.errnoName(libc.lastErrno()) !== "EAGAIN") return false;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
  }
  return true;
}

function lockError(operation: string, path: string, remedy: string): BreakwaterError {
  const errno = libc.errnoName(libc.lastErrno());
  const why = errno === "EAGAIN" ? "another iptables has it" : errno;
  const message = `Cannot ${operation} the lock of iptables-legacy, ${path}: ${why}`;
  return new BreakwaterError("BW_XTABLES_LOCK", message, { operation, object: path, errno, remedy });
}
