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

/**
 * An address that packets can be sent to from elsewhere, or undefined and a report. Loopback, unspecified and multicast
 * addresses would bend what a node says to itself or to many; the API refuses most of them, an older server did not.
 */
export function unicastIpField(value: unknown, field: string, report: ReportField): Ip | undefined {
  const ip = ipField(value, field, report);
  if (ip === undefined || !/^(?:0\.|127\.|2(?:2[4-9]|3\d)\.|255\.255\.255\.255$|::1?$|ff..:)/.test(ip)) return ip;
  report(field, `${quote(value)} is no address that one other machine can have`);
  return undefined;
}

/**
 * A whole number from `low` to `high`; undefined where it is absent, null or 0, and, with a report, where it is
 * anything else. 0 is how the API writes that a port is not set.
 */
export function numberField(
  value: unknown,
  { low, high }: { readonly low: number; readonly high: number },
  field: string,
  report: ReportField,
): number | undefined {
  if (value === undefined || value === null || value === 0) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= low && value <= high) return value;
  const found = typeof value === "number" ? String(value) : typeName(value);
  report(field, `expected a whole number from ${low} to ${high}, found ${found}`);
  return undefined;
}

/** true or false, `absent` where it is absent; undefined and a report where it is anything else. */
export function booleanField(value: unknown, absent: boolean, field: string, report: ReportField): boolean | undefined {
  if (value === undefined || value === null) return absent;
  if (typeof value === "boolean") return value;
  report(field, `expected true or false, found ${typeName(value)}`);
  return undefined;
}

/** One of a few words, the first where it is absent; undefined and a report where it is another. */
export function wordField<W extends string>(
  value: unknown,
  words: readonly [W, ...W[]],
  field: string,
  report: ReportField,
): W | undefined {
  if (value === undefined || value === null || value === "") return words[0];
  const word = words.find((candidate) => candidate === value);
  if (word === undefined) report(field, `${quote(value)} is none of ${words.join(", ")}`);
  return word;
}

function quote(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : typeName(value);
}
