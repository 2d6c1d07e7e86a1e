/**
 * JSON merge patch, RFC 7386.
 */
import { clone, type Fields, isFields } from "../object/object.ts";

/** `target` with the patch merged in: objects merge, null deletes, anything else replaces. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return clone(patch);
  const result: Fields = isFields(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (key !== "__proto__") result[key] = applyMergePatch(result[key], value);
  }
  return result;
}
