/** Runs a parser and collects what it reports, one line a field. */
import type { JsonObject } from "../json.ts";
import type { ReportField } from "../object-reader.ts";

export function parseRun<T>(
  parse: (object: JsonObject, report: ReportField) => T,
  object: JsonObject,
): { readonly value: T; readonly reports: string[] } {
  const reports: string[] = [];
  const value = parse(object, (field, why) => reports.push(`${field}: ${why}`));
  return { value, reports };
}
