/** What differs between the frontends that the API asks for and the elements that the kernel holds, element by element. */
import type { Frontend } from "../model/frontend.ts";
import type { ServiceDifference } from "../model/service-report.ts";
import { type FrontendElements, frontendElements, SINGLE_SETS } from "../plan/services/elements.ts";
import type { ObservedFrontend } from "./services.ts";

/**
 * @param table `ip breakwater`
 * @param known what we put there: slots behind the last one wait for their deletion, and are no difference
 */
export function compareFrontend(
  table: string,
  key: string,
  wanted: Frontend | undefined,
  observed: ObservedFrontend | undefined,
  known: ObservedFrontend | undefined,
): ServiceDifference[] {
  const differences: ServiceDifference[] = [];
  const api: FrontendElements | undefined = wanted && frontendElements(wanted);
  const service = wanted?.service ?? null;
  const note = (set: string, a: string | undefined, k: string | undefined) => {
    if (a !== k) differences.push({ set: `${table} ${set}`, service, api: a ?? null, kernel: k ?? null });
  };
  for (const set of SINGLE_SETS) note(set, api?.single[set], observed?.single[set]);
  for (const [a, k] of unequal(api?.ranges ?? [], observed?.ranges ?? [])) note("source-ranges", a, k);
  const lists = [
    ["endpoints", api?.endpoints ?? [], observed?.endpoints ?? [], known?.endpoints ?? []],
    ["outside-endpoints", api?.outsideEndpoints ?? [], observed?.outsideEndpoints ?? [], known?.outsideEndpoints ?? []],
  ] as const;
  for (const [set, a, k, left] of lists) {
    const used = k.flatMap((endpoint, i) => (i >= a.length && endpoint === left[i] ? [] : (endpoint ?? [])));
    for (const [x, y] of unequal(a, used)) note(set, x && `${key} : ${x}`, y && `${key} : ${y}`);
  }
  for (const { set, element } of observed?.strays ?? []) note(set, undefined, element);
  return differences;
}

/** Members of one list only, in pairs. A member that is there twice is one too many. */
function unequal(a: readonly string[], b: readonly string[]): [string | undefined, string | undefined][] {
  const rest = [...b];
  const missing = a.filter((value) => {
    const at = rest.indexOf(value);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
  return Array.from({ length: Math.max(missing.length, rest.length) }, (_, i) => [missing[i], rest[i]]);
}
