/**
 * Whether everything that one selector, peer or port matches is matched by another, whatever pods and namespaces there will
 * be: never by what happens to be there now. "No" may mean that it is not known.
 */
import { ipFamily } from "../../model/ip.ts";
import type { PolicyPeer, PolicyPort } from "../../model/policy.ts";
import { type Prefix, prefixesOverlap, prefixLength, subtractPrefixes } from "../../model/prefix.ts";
import type { Selector } from "../../model/selector.ts";

/** What a selector says of one key. */
interface KeyConstraint {
  /** Undefined: any value. */
  readonly values?: ReadonlySet<string>;
  /** Values that it must not have; empty where `values` says which it may have. */
  readonly not: ReadonlySet<string>;
  readonly presence: "must" | "may" | "must not";
}

const NOTHING: ReadonlySet<string> = new Set();

/** By key; undefined for a selector that can match nothing. */
export type Constraints = ReadonlyMap<string, KeyConstraint> | undefined;

export function constraintsOf(selector: Selector): Constraints {
  const found = new Map<string, KeyConstraint>();
  for (const [key, requirements] of Map.groupBy(selector, (each) => each.key)) {
    const constraint = constraintOf(requirements);
    if (constraint === undefined) return undefined;
    found.set(key, constraint);
  }
  return found;
}

/** Undefined where the requirements contradict each other. */
function constraintOf(requirements: Selector): KeyConstraint | undefined {
  const operators = new Set(requirements.map(({ operator }) => operator));
  const mayBeAbsent = !operators.has("In") && !operators.has("Exists");
  if (operators.has("DoesNotExist")) return mayBeAbsent ? { not: NOTHING, presence: "must not" } : undefined;
  const not = new Set(requirements.flatMap(({ operator, values }) => (operator === "NotIn" ? values : [])));
  const lists = requirements.filter(({ operator }) => operator === "In").map(({ values }) => values);
  if (lists.length === 0) return { not, presence: mayBeAbsent ? "may" : "must" };
  const [first = [], ...others] = lists;
  const values = first.filter((value) => !not.has(value) && others.every((list) => list.includes(value)));
  return values.length === 0 ? undefined : { values: new Set(values), not: NOTHING, presence: "must" };
}

/** Every set of labels that `inner` matches is matched by `outer`. */
export function constraintsContain(outer: Constraints, inner: Constraints): boolean {
  if (inner === undefined) return true;
  if (outer === undefined) return false;
  for (const [key, constraint] of outer) if (!keyContains(constraint, inner.get(key))) return false;
  return true;
}

function keyContains(outer: KeyConstraint, inner: KeyConstraint | undefined): boolean {
  // Without a word about the key it may have any value, or none.
  if (inner === undefined) return false;
  if (outer.presence === "must not") return inner.presence === "must not";
  // NotIn holds where the label is absent.
  if (inner.presence === "must not") return outer.presence === "may";
  if (outer.presence === "must" && inner.presence !== "must") return false;
  if (inner.values !== undefined) {
    const isMatched = (value: string) => (outer.values?.has(value) ?? true) && !outer.not.has(value);
    return [...inner.values].every(isMatched);
  }
  return outer.values === undefined && [...outer.not].every((value) => inner.not.has(value));
}

type Block = Extract<PolicyPeer, { kind: "block" }>;

/** What is left of a block, exceptions taken out, lies in what is left of the other one. */
export function blockContains(outer: Block, inner: Block): boolean {
  if (ipFamily(outer.prefix) !== ipFamily(inner.prefix)) return false;
  if (prefixLength(inner.prefix) < prefixLength(outer.prefix) || !prefixesOverlap(inner.prefix, outer.prefix))
    return false;
  const holes = outer.except.filter((hole) => prefixesOverlap(hole, inner.prefix));
  return holes.every((hole) => isTakenOut(hole, inner));
}

/** Nothing of a hole is left of the block: its own exceptions hold all that the two have in common. */
function isTakenOut(hole: Prefix, { prefix, except }: Block): boolean {
  const common = prefixLength(hole) >= prefixLength(prefix) ? hole : prefix;
  return subtractPrefixes(common, except).length === 0;
}

/** A number is never held to be what a name means: that is another one for each pod. */
export function portContains(outer: PolicyPort, inner: PolicyPort): boolean {
  if (outer.protocol !== inner.protocol) return false;
  if (outer.port === undefined) return true;
  if (typeof outer.port === "string" || typeof inner.port !== "number") return outer.port === inner.port;
  return outer.port <= inner.port && (inner.endPort ?? inner.port) <= (outer.endPort ?? outer.port);
}
