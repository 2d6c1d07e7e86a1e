/**
 * Fields of API objects as model values. A field that is absent is no problem; one that is there and makes no sense
 * is reported with its path and left out, so that one bad address does not cost a node its routes.
 */
import type { Labels } from "../model/cluster.ts";
import { type Ip, tryParseIp } from "../model/ip.ts";
import { type Prefix, parsePrefix } from "../model/prefix.ts";
import { asArray, asObject, asString, type JsonObject, typeName } from "./json.ts";
import type { ReportField } from "./object-reader.ts";

/** The object's metadata.name. @throws SyntaxError when it has none */
export function metadataName(object: JsonObject): string {
  const name = asString(asObject(object["metadata"])?.["name"]);
  if (!name) throw new SyntaxError("it has no metadata.name");
  return name;
}

/** A map of strings (labels, annotations); empty when absent. Values that are no strings are left out. */
export function stringMap(value: unknown, field: string, report: ReportField): Labels {
  if (value === undefined || value === null) return {};
  const object = asObject(value);
  if (object === undefined) {
    report(field, `expected an object, found ${typeName(value)}`);
    return {};
  }
  const entries = Object.entries(object).filter(([key, entry]) => {
    if (typeof entry === "string") return true;
    report(`${field}[${JSON.stringify(key)}]`, `expected a string, found ${typeName(entry)}`);
    return false;
  });
  return Object.fromEntries(entries) as Labels;
}

/** The items of a list, each with its path; undefined when the list is absent, which is not the same as empty. */
export function listItems(
  value: unknown,
  field: string,
  report: ReportField,
): readonly { readonly item: unknown; readonly path: string }[] | undefined {
  if (value === undefined || value === null) return undefined;
  const items = asArray(value);
  if (items === undefined) {
    report(field, `expected a list, found ${typeName(value)}`);
    return undefined;
  }
  return items.map((item, index) => ({ item, path: `${field}[${index}]` }));
}

/** A canonical address, or undefined and a report. */
export function ipField(value: unknown, field: string, report: ReportField): Ip | undefined {
  const ip = typeof value === "string" ? tryParseIp(value) : undefined;
  if (ip === undefined) report(field, `${quote(value)} is no IP address`);
  return ip;
}

/** A canonical prefix, or undefined and a report. */
export function prefixField(value: unknown, field: string, report: ReportField): Prefix | undefined {
  try {
    return parsePrefix(asString(value) ?? "");
  } catch {
    report(field, `${quote(value)} is no CIDR`);
    return undefined;
  }
}

/** A string, "" when absent. */
export function stringField(value: unknown, field: string, report: ReportField): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  report(field, `expected a string, found ${typeName(value)}`);
  return "";
}

function quote(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : typeName(value);
}
