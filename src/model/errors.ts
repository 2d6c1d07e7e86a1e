/**
 * The one error class of the project. A person reads it at 3 AM, so it says what was tried, on which object,
 * what the system answered, and what to do next. Programs read `code`, which never changes once released.
 *
 * Bad values given by a caller inside the program are RangeError, SyntaxError or TypeError instead.
 */

/** What a {@link BreakwaterError} carries beside its message. */
export interface ErrorDetails {
  /** What was tried, as a verb phrase: "add route". */
  readonly operation?: string;
  /** The object it was tried on: "10.244.2.0/24 via 192.168.1.2 dev eth0". */
  readonly object?: string;
  /** The kernel's error name where a system call failed: "EEXIST". */
  readonly errno?: string;
  /** What to do next, one sentence. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/** An error whose `code` (`BW_…`) is stable and listed in docs/reference/errors.md. */
export class BreakwaterError extends Error {
  readonly code: string;
  readonly operation: string | undefined;
  readonly object: string | undefined;
  readonly errno: string | undefined;
  readonly remedy: string | undefined;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "BreakwaterError";
    this.code = code;
    this.operation = details.operation;
    this.object = details.object;
    this.errno = details.errno;
    this.remedy = details.remedy;
  }
}

/** True when `error` is a {@link BreakwaterError} with this code, or with any code when none is given. */
export function isBreakwaterError(error: unknown, code?: string): error is BreakwaterError {
  return error instanceof BreakwaterError && (code === undefined || error.code === code);
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** One or two lines for a terminal: the message with its code, then the remedy. */
export function describeError(error: unknown): string {
  if (!isBreakwaterError(error)) return messageOf(error);
  const head = `${error.message} (${error.code})`;
  return error.remedy === undefined ? head : `${head}\n  -> ${error.remedy}`;
}
