/**
 * Refusals as the API spells them: a `Status` object with an HTTP code, a machine-readable reason and, where a field is
 * to blame, one cause a field. Clients (client-go, kubectl) decide by `reason`, so the reasons are the API's own.
 */
import type { Fields } from "./object.ts";

export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

/** What names a kind in a Status: group and plural for refusals of a request, group and kind for invalid objects. */
export interface StatusKind {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

export class StatusError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.name = "StatusError";
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  /** The `Status` object of the response body. */
  toStatus(): Fields {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      ...(this.reason !== "" && { reason: this.reason }),
      ...(this.details !== undefined && { details: this.details }),
      code: this.code,
    };
  }
}

function qualified(kind: StatusKind): string {
  return kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`;
}

function requestDetails(kind: StatusKind, name: string, more: StatusDetails = {}): StatusDetails {
  return { ...(name !== "" && { name }), ...(kind.group !== "" && { group: kind.group }), kind: kind.plural, ...more };
}

export function notFound(kind: StatusKind, name: string): StatusError {
  return new StatusError(404, "NotFound", `${qualified(kind)} "${name}" not found`, requestDetails(kind, name));
}

/** The path names no resource that is served. */
export function noSuchResource(): StatusError {
  return new StatusError(404, "NotFound", "the server could not find the requested resource", {});
}

export function alreadyExists(kind: StatusKind, name: string): StatusError {
  const message = `${qualified(kind)} "${name}" already exists`;
  return new StatusError(409, "AlreadyExists", message, requestDetails(kind, name));
}

export function conflict(kind: StatusKind, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${qualified(kind)} "${name}": ${why}`;
  return new StatusError(409, "Conflict", message, requestDetails(kind, name));
}

/** The message optimistic locking fails with; clients know it. */
export const STALE_OBJECT =
  "the object has been modified; please apply your changes to the latest version and try again";

export function badRequest(message: string): StatusError {
  return new StatusError(400, "BadRequest", message);
}

export function forbidden(kind: StatusKind, name: string, why: string, causes?: readonly StatusCause[]): StatusError {
  const message = `${qualified(kind)} "${name}" is forbidden: ${why}`;
  return new StatusError(403, "Forbidden", message, requestDetails(kind, name, causes && { causes }));
}

export function methodNotAllowed(kind: StatusKind | undefined, verb: string): StatusError {
  const message = "the server does not allow this method on the requested resource";
  const details = kind === undefined ? {} : requestDetails(kind, "");
  return new StatusError(405, "MethodNotAllowed", `${message}: ${verb}`, details);
}

/** The resource version lies before what the server remembers; the client has to list again. */
export function expired(message: string): StatusError {
  return new StatusError(410, "Expired", message);
}

/** The resource version lies in the future: it came from another server, or from before a restart. */
export function tooLargeVersion(wanted: string, current: string): StatusError {
  const causes = [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }];
  const message = `Timeout: Too large resource version: ${wanted}, current: ${current}`;
  return new StatusError(504, "Timeout", message, { causes, retryAfterSeconds: 1 });
}

export function unsupportedMediaType(message: string): StatusError {
  return new StatusError(415, "UnsupportedMediaType", message);
}

export function invalid(kind: StatusKind, name: string, causes: readonly StatusCause[]): StatusError {
  const lines = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const list = lines.length === 1 ? lines[0] : `[${lines.join(", ")}]`;
  const details = { name, ...(kind.group !== "" && { group: kind.group }), kind: kind.kind, causes };
  const subject = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  return new StatusError(422, "Invalid", `${subject} "${name}" is invalid: ${list}`, details);
}
