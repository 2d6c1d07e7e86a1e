/**
 * How a client wants its write done: the query parameters of create, update and patch.
 */
import { StatusError } from "../object/status.ts";

export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface WriteOptions {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  readonly fieldValidation?: FieldValidation;
  /** "status", or empty for the object itself. */
  readonly subresource?: string;
  /** Takes what is dropped or odd and still accepted; becomes `Warning` headers. */
  readonly warn?: (message: string) => void;
}

/** Unknown fields, as the client asked to have them treated. @throws StatusError 400 with Strict */
export function reportUnknownFields(unknownFields: readonly string[], options: WriteOptions): void {
  if (unknownFields.length === 0 || options.fieldValidation === "Ignore") return;
  const faults = unknownFields.map((path) => `unknown field "${path}"`);
  if (options.fieldValidation === "Strict") {
    throw new StatusError(400, "BadRequest", `strict decoding error: ${faults.join(", ")}`);
  }
  for (const fault of faults) options.warn?.(fault);
}
