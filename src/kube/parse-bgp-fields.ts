/** Fields that BGPPeers and BGPConfigurations have in common. Undefined, and a report, for what cannot be used. */
import { AS_TRANS, type BgpCommunity, LARGEST_AS_NUMBER } from "../model/bgp.ts";
import { BGP_UNDERSTOOD, type BgpPeerObject } from "../model/bgp-objects.ts";
import { type Prefix, prefixLength } from "../model/prefix.ts";
import { asArray, asObject, asString, type JsonObject, typeName } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { listItems, metadataName, prefixField, stringField } from "./parse-fields.ts";
import { isAbsent } from "./parse-selector.ts";

export interface Bounds {
  readonly low: number;
  readonly high: number;
}

/** A whole number inside its bounds; undefined where it is absent and, with a report, where it is anything else. 0 is a number. */
export function boundedField(
  value: unknown,
  { low, high }: Bounds,
  path: string,
  report: ReportField,
): number | undefined {
  if (isAbsent(value)) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= low && value <= high) return value;
  const found = typeof value === "number" ? String(value) : typeName(value);
  report(path, `expected a whole number from ${low} to ${high}, found ${found}`);
  return undefined;
}

/** An AS number that a speaker can have (RFC 7607: not 0; RFC 7300: not the last; RFC 6793: not 23456). */
export function asNumberField(value: unknown, path: string, report: ReportField): number | undefined {
  const number = boundedField(value, { low: 1, high: LARGEST_AS_NUMBER }, path, report);
  if (number !== AS_TRANS) return number;
  report(path, `${AS_TRANS} is nobody's: it stands for numbers of 32 bits where only 16 fit (RFC 6793)`);
  return undefined;
}

/** Prefixes that can be understood; the others, and those of all addresses, let nothing through. */
export function allowedPrefixes(value: unknown, path: string, report: ReportField): readonly Prefix[] {
  const prefixes = (listItems(value, path, report) ?? []).flatMap(({ item, path: at }) => {
    const prefix = prefixField(item, at, report);
    if (prefix === undefined || prefixLength(prefix) > 0) return prefix ?? [];
    report(at, `${prefix} would let everything through, default routes too: give what is meant`);
    return [];
  });
  return [...new Set(prefixes)].sort();
}

const SMALL = { low: 0, high: 0xffff };
const LARGE = { low: 0, high: 0xffff_ffff };

/** Undefined where one of them cannot be understood: what is announced without it may go where it must not. */
export function communitiesField(
  value: unknown,
  path: string,
  report: ReportField,
): readonly BgpCommunity[] | undefined {
  if (isAbsent(value)) return [];
  const items = listItems(value, path, report);
  const communities = items?.map(({ item, path: at }) => community(item, at, report));
  if (communities === undefined || communities.includes(undefined)) return undefined;
  const unique = new Map((communities as BgpCommunity[]).map((each) => [each.join(":"), each]));
  return [...unique.values()];
}

function community(item: unknown, path: string, report: ReportField): BgpCommunity | undefined {
  const text = asString(item) ?? "";
  const numbers = /^\d{1,10}(:\d{1,10}){1,2}$/.test(text) ? text.split(":").map(Number) : [];
  const { high } = numbers.length === 3 ? LARGE : SMALL;
  if (numbers.length > 0 && numbers.every((number) => number <= high)) return numbers as unknown as BgpCommunity;
  const found = typeof item === "string" ? JSON.stringify(item.slice(0, 80)) : typeName(item);
  report(path, `${found} is neither two numbers up to 65535 (64512:100) nor three up to 4294967295 (64512:1:2)`);
  return undefined;
}

/** metadata and what the status says. */
export function bgpObjectHead(
  object: JsonObject,
  report: ReportField,
): Pick<BgpPeerObject, "name" | "uid" | "generation" | "understood"> {
  const metadata = asObject(object["metadata"]);
  const conditions = (asArray(asObject(object["status"])?.["conditions"]) ?? []).map(asObject);
  const understood = conditions.find((condition) => condition?.["type"] === BGP_UNDERSTOOD);
  const text = (field: string) => asString(understood?.[field]) ?? "";
  return {
    name: metadataName(object),
    uid: stringField(metadata?.["uid"], "metadata.uid", report),
    generation: numberOf(metadata?.["generation"]),
    ...(understood === undefined
      ? {}
      : {
          understood: {
            status: text("status"),
            message: text("message"),
            observedGeneration: numberOf(understood["observedGeneration"]),
            lastTransitionTime: text("lastTransitionTime"),
          },
        }),
  };
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

/** The fields that are there: absent is absent, not undefined. */
export function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
