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

export const procSysctl: Sysctl = {
  read(name) {
    try {
      return fs.readFileSync(path(name), "utf8").trimEnd();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw sysctlError("read", name, error);
    }
  },
  write(name, value) {
    try {
      fs.writeFileSync(path(name), value);
    } catch (error) {
      throw sysctlError(`set to "${value}"`, name, error);
    }
  },
};

function path(name: string): string {
  return `/proc/sys/${name}`;
}

function sysctlError(operation: string, name: string, cause: unknown): BreakwaterError {
  const errno = (cause as NodeJS.ErrnoException).code ?? String(cause);
  const readOnly = errno === "EROFS" || errno === "EACCES";
  return new BreakwaterError("BW_SYSCTL", `Cannot ${operation} ${path(name)}: ${errno}`, {
    operation,
    object: path(name),
    errno,
    cause,
    remedy: readOnly
      ? "Run with /proc/sys writable (privileged container, host network)"
      : "Check that this kernel has the setting and accepts the value",
  });
}
