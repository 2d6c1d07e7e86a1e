/**
 * Address families of a Service: `ipFamilyPolicy` and `ipFamilies` as defaulted and checked by the API server
 * (KEP-563, pkg/registry/core/service/storage/alloc.go).
 */
import type { Family } from "../../../model/ip.ts";
import { ipFamily, tryParseIp } from "../../../model/ip.ts";
import type { FieldErrors } from "../object/field-errors.ts";
import { type Fields, listOf } from "../object/object.ts";

export type FamilyName = "IPv4" | "IPv6";

export function familyName(family: Family): FamilyName {
  return family === 4 ? "IPv4" : "IPv6";
}

export function familyNumber(name: unknown): Family {
  return name === "IPv6" ? 6 : 4;
}

export function isHeadless(spec: Fields): boolean {
  return spec["clusterIP"] === "None" || listOf(spec["clusterIPs"])[0] === "None";
}

/**
 * Completes `ipFamilyPolicy` and `ipFamilies` for a cluster with these families, the default one first.
 * What cannot be had is added to `errors`.
 */
export function completeFamilies(spec: Fields, cluster: readonly Family[], errors: FieldErrors): void {
  const families = requestedFamilies(spec);
  const selectorless = Object.keys((spec["selector"] as Fields | undefined) ?? {}).length === 0;
  const multiple = families.length > 1 || listOf(spec["clusterIPs"]).length > 1;
  if (spec["ipFamilyPolicy"] === undefined) {
    if (multiple) {
      errors.invalid(
        "spec.ipFamilyPolicy",
        null,
        "must be RequireDualStack or PreferDualStack when multiple IP families are specified",
      );
    }
    spec["ipFamilyPolicy"] = isHeadless(spec) && selectorless ? "RequireDualStack" : "SingleStack";
  } else if (spec["ipFamilyPolicy"] === "SingleStack" && multiple) {
    errors.invalid(
      "spec.ipFamilyPolicy",
      "SingleStack",
      "must be RequireDualStack or PreferDualStack when multiple IP families are specified",
    );
  }
  const headlessSelectorless = isHeadless(spec) && selectorless;
  checkAvailable(families, spec, cluster, headlessSelectorless, errors);
  spec["ipFamilies"] = wantedFamilies(spec, families, cluster, headlessSelectorless);
}

/** What the client named: families, else those of the addresses it asks for. */
function requestedFamilies(spec: Fields): FamilyName[] {
  const named = listOf(spec["ipFamilies"]) as FamilyName[];
  const fromIps = listOf(spec["clusterIPs"]).flatMap((value) => {
    const ip = tryParseIp(String(value));
    return ip === undefined ? [] : [familyName(ipFamily(ip))];
  });
  return [...new Set([...named, ...fromIps])];
}

function checkAvailable(
  families: readonly FamilyName[],
  spec: Fields,
  cluster: readonly Family[],
  anyFamily: boolean,
  errors: FieldErrors,
): void {
  if (anyFamily) return;
  for (const [i, name] of families.entries()) {
    if (cluster.includes(familyNumber(name))) continue;
    errors.invalid(`spec.ipFamilies[${i}]`, name, "not configured on this cluster");
  }
  if (spec["ipFamilyPolicy"] === "RequireDualStack" && cluster.length < 2) {
    errors.invalid("spec.ipFamilyPolicy", "RequireDualStack", "this cluster is not configured for dual-stack services");
  }
}

function wantedFamilies(
  spec: Fields,
  families: readonly FamilyName[],
  cluster: readonly Family[],
  anyFamily: boolean,
): FamilyName[] {
  const available = cluster.map(familyName);
  const first = families[0] ?? available[0] ?? "IPv4";
  if (spec["ipFamilyPolicy"] === "SingleStack") return [first];
  const second = first === "IPv4" ? "IPv6" : "IPv4";
  return families.length > 1 || available.includes(second) || anyFamily ? [first, second] : [first];
}
