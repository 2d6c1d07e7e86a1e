/**
 * Label selectors (meta/v1 LabelSelector): what matchLabels and matchExpressions say, as one list of requirements that all
 * have to hold. An empty list matches everything.
 */
import type { Labels } from "./cluster.ts";

export interface Requirement {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  /** Sorted, each once; empty for Exists and DoesNotExist. */
  readonly values: readonly string[];
}

/** Sorted by {@link selectorText} of each requirement. */
export type Selector = readonly Requirement[];

export function matchesSelector(selector: Selector, labels: Labels): boolean {
  return selector.every((requirement) => holds(requirement, labels));
}

/** NotIn holds where the label is absent (labels.Requirement.Matches of k8s.io/apimachinery). */
function holds({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}

/** Policies keep their selectors, and each plan asks again. */
const texts = new WeakMap<Selector, string>();

/** As kubectl writes it: `app in (web),tier notin (a, b),!legacy`; `` for everything. Equal selectors, equal texts. */
export function selectorText(selector: Selector): string {
  const known = texts.get(selector);
  if (known !== undefined) return known;
  const text = selector.map(requirementText).join(",");
  texts.set(selector, text);
  return text;
}

function requirementText({ key, operator, values }: Requirement): string {
  switch (operator) {
    case "In":
      return `${key} in (${values.join(", ")})`;
    case "NotIn":
      return `${key} notin (${values.join(", ")})`;
    case "Exists":
      return key;
    case "DoesNotExist":
      return `!${key}`;
  }
}

export function sortedSelector(requirements: readonly Requirement[]): Selector {
  const plain = requirements.map((each) => ({ ...each, values: [...new Set(each.values)].sort() }));
  const unique = new Map(plain.map((each) => [requirementText(each), each]));
  return [...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
}
