/**
 * /proc/sys, as names with slashes ("net/ipv4/ip_forward"): dots are ambiguous, since interface names may hold them.
 * The network part belongs to the namespace of the thread that opens the file.
 */
import * as fs from "node:fs";
import { BreakwaterError } from "../model/errors.ts";

export interface Sysctl {
  /** The value without its newline; undefined when this kernel has no such name. */
  read(name: string): string | undefined;
  /** @throws BreakwaterError BW_SYSCTL naming the file, the value and what the system answered */
  write(name: string, value: string): void;
}

/** The machine's own; net/ belongs to the calling thread's namespace. */
export const procSysctl: Sysctl = sysctlsAt("");

/** @param root where the machine's own / is: "" or "/host" */
export function sysctlsAt(root: string): Sysctl {
  const path = (name: string) => `${root}/proc/sys/${name}`;
  return {
    read(name) {
      try {
        return fs.readFileSync(path(name), "utf8").trimEnd();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw sysctlError("read", path(name), error);
      }
    },
    write(name, value) {
      try {
        writeExisting(path(name), value);
      } catch (error) {
        throw sysctlError(`set to "${value}"`, path(name), error);
      }
    },
  };
}

/** Never makes a file: what is no sysctl is an error, on any file system. */
function writeExisting(path: string, value: string): void {
  const fd = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_TRUNC);
  try {
    // As echo writes it: a list that is to be empty is only so with the end of a line.
    fs.writeSync(fd, `${value}\n`);
  } finally {
    fs.closeSync(fd);
  }
}

function sysctlError(operation: string, object: string, cause: unknown): BreakwaterError {
  const errno = (cause as NodeJS.ErrnoException).code ?? String(cause);
  const readOnly = errno === "EROFS" || errno === "EACCES";
  return new BreakwaterError("BW_SYSCTL", `Cannot ${operation} ${object}: ${errno}`, {
    operation,
    object,
    errno,
    cause,
    remedy: readOnly
      ? "Run with /proc/sys writable (privileged container, host network)"
      : "Check that this kernel has the setting and accepts the value",
  });
}
