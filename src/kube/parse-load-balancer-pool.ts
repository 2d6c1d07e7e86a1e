/** breakwater.dev/v1alpha1 LoadBalancerPool -> {@link AddressPool}. What of it cannot be read gives out no address. */
import { compareIp, type Ip, ipFamily, ipFromBigInt } from "../model/ip.ts";
import {
  type AddressPool,
  type AddressRange,
  POOL_USABLE,
  type PoolFamily,
  type PoolStatus,
} from "../model/load-balancer.ts";
import { prefixRange } from "../model/prefix.ts";
import type { Requirement, Selector } from "../model/selector.ts";
import { asArray, asObject, asString, type JsonObject, typeName } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { booleanField, ipField, listItems, metadataName, prefixField, stringField } from "./parse-fields.ts";
import { isAbsent, parseSelector } from "./parse-selector.ts";

/** Addresses that no other machine can have, or that mean many: "this" network, loopback, multicast and what is reserved. */
const UNUSABLE = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8", "::ffff:0:0/96"];

/** Holds for nothing: a key cannot both be there and not. */
const NOBODY: Selector = (["DoesNotExist", "Exists"] as const).map(
  (operator): Requirement => ({ key: "breakwater.dev/nobody", operator, values: [] }),
);

export function parseLoadBalancerPool(object: JsonObject, report: ReportField): AddressPool {
  const metadata = asObject(object["metadata"]);
  const spec = asObject(object["spec"]) ?? {};
  const addresses = listItems(spec["addresses"], "spec.addresses", report) ?? [];
  if (addresses.length === 0) report("spec.addresses", "there are none: the pool gives out nothing");
  const select = (field: string) => selectorField(spec[field], `spec.${field}`, report);
  const [namespaces, services] = [select("namespaceSelector"), select("serviceSelector")];
  const status = parseStatus(asObject(object["status"]));
  return {
    name: metadataName(object),
    uid: stringField(metadata?.["uid"], "metadata.uid", report),
    generation: numberOf(metadata?.["generation"]),
    ranges: addresses.flatMap(({ item, path }) => parseRange(item, path, report) ?? []),
    // Whoever wrote something else than yes or no did not mean that anybody may have them.
    autoAssign: booleanField(spec["autoAssign"], true, "spec.autoAssign", report) ?? false,
    avoidBuggyIps: booleanField(spec["avoidBuggyIPs"], false, "spec.avoidBuggyIPs", report) ?? true,
    ...(namespaces === undefined ? {} : { namespaces }),
    ...(services === undefined ? {} : { services }),
    ...(status === undefined ? {} : { status }),
  };
}

/** One that cannot be understood selects nobody. */
function selectorField(value: unknown, path: string, report: ReportField): Selector | undefined {
  if (isAbsent(value)) return undefined;
  return parseSelector(value, path, (field, why) => report(field, `${why}: the pool is for nobody`)) ?? NOBODY;
}

function parseRange(item: unknown, path: string, report: ReportField): AddressRange | undefined {
  const text = asString(item)?.trim();
  if (text === undefined) {
    report(path, `expected a string, found ${typeName(item)}`);
    return undefined;
  }
  const range = text.includes("-") ? firstAndLast(text, path, report) : ofPrefix(text, path, report);
  if (range === undefined) return undefined;
  const bad = UNUSABLE.find((prefix) => touches(range, prefix));
  if (bad === undefined) return range;
  report(path, `${JSON.stringify(text)} has addresses of ${bad}, which no Service can have: it gives out nothing`);
  return undefined;
}

function ofPrefix(text: string, path: string, report: ReportField): AddressRange | undefined {
  const prefix = prefixField(text, path, report);
  if (prefix === undefined) return undefined;
  const { first, last, family } = prefixRange(prefix);
  return { first: ipFromBigInt(first, family), last: ipFromBigInt(last, family) };
}

function firstAndLast(text: string, path: string, report: ReportField): AddressRange | undefined {
  const ends = text.split("-").map((end) => end.trim());
  if (ends.length !== 2) {
    report(path, `${JSON.stringify(text.slice(0, 80))} is no range: it has ${ends.length} ends`);
    return undefined;
  }
  const [first, last] = ends.map((end) => ipField(end, path, report)) as [Ip | undefined, Ip | undefined];
  if (first === undefined || last === undefined) return undefined;
  if (ipFamily(first) !== ipFamily(last)) {
    report(path, `${JSON.stringify(text)} begins with IPv${ipFamily(first)} and ends with IPv${ipFamily(last)}`);
    return undefined;
  }
  if (compareIp(first, last) <= 0) return { first, last };
  report(path, `${JSON.stringify(text)} ends before it begins`);
  return undefined;
}

function touches({ first, last }: AddressRange, prefix: string): boolean {
  if (ipFamily(first) !== ipFamily(prefix.slice(0, prefix.indexOf("/")))) return false;
  const range = prefixRange(prefix);
  const ends = [range.first, range.last].map((value) => ipFromBigInt(value, range.family)) as [Ip, Ip];
  return compareIp(first, ends[1]) <= 0 && compareIp(ends[0], last) <= 0;
}

function parseStatus(status: JsonObject | undefined): PoolStatus | undefined {
  if (status === undefined) return undefined;
  const counts = (word: string): Record<PoolFamily, number> => ({
    ipv4: numberOf(status[`${word}IPv4`]),
    ipv6: numberOf(status[`${word}IPv6`]),
  });
  const conditions = (asArray(status["conditions"]) ?? []).map(asObject);
  const usable = conditions.find((condition) => condition?.["type"] === POOL_USABLE);
  const text = (field: string) => asString(usable?.[field]) ?? "";
  return {
    assigned: counts("assigned"),
    available: counts("available"),
    ...(usable === undefined
      ? {}
      : {
          usable: {
            status: text("status"),
            message: text("message"),
            observedGeneration: numberOf(usable["observedGeneration"]),
            lastTransitionTime: text("lastTransitionTime"),
          },
        }),
  };
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
