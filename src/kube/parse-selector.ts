/** meta/v1 LabelSelector -> {@link Selector}. One that is not understood wholly is not understood: a part of it matches more. */
import { type Requirement, type Selector, sortedSelector } from "../model/selector.ts";
import { asObject, asString, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { listItems, stringMap } from "./parse-fields.ts";

const OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"] as const;

export interface ListItem {
  readonly item: unknown;
  readonly path: string;
}

/** Undefined, and a report, when it cannot be understood. */
export function parseSelector(value: unknown, path: string, report: ReportField): Selector | undefined {
  const selector = asObject(value);
  if (selector === undefined) {
    report(path, "it is no selector");
    return undefined;
  }
  const labels = labelRequirements(selector["matchLabels"], `${path}.matchLabels`, report);
  const expressions = closedList(selector["matchExpressions"], `${path}.matchExpressions`, report);
  if (labels === undefined || expressions === undefined) return undefined;
  const requirements = [...labels];
  for (const { item, path: at } of expressions) {
    const requirement = parseRequirement(asObject(item) ?? {}, at, report);
    if (requirement === undefined) return undefined;
    requirements.push(requirement);
  }
  return sortedSelector(requirements);
}

/** Empty when absent; undefined, and a report, when it is no list: then nobody knows what it was to hold. */
export function closedList(value: unknown, path: string, report: ReportField): readonly ListItem[] | undefined {
  return isAbsent(value) ? [] : listItems(value, path, report);
}

/** Null is how some writers leave a field out. */
export function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

/** A label that is left out would make the selector match more. */
function labelRequirements(value: unknown, path: string, report: ReportField): Requirement[] | undefined {
  let understood = true;
  const labels = stringMap(value, path, (field, why) => {
    understood = false;
    report(field, why);
  });
  if (!understood) return undefined;
  return Object.entries(labels).map(([key, label]) => ({ key, operator: "In", values: [label] }));
}

function parseRequirement(fields: JsonObject, path: string, report: ReportField): Requirement | undefined {
  const key = asString(fields["key"]);
  const operator = OPERATORS.find((name) => name === fields["operator"]);
  const values = closedList(fields["values"], `${path}.values`, report)?.map(({ item }) => item);
  const takesValues = operator === "In" || operator === "NotIn";
  const areText = values?.every((value) => typeof value === "string") === true;
  if (!key || operator === undefined || !areText || takesValues !== values.length > 0) {
    report(path, `${JSON.stringify(fields)} cannot be understood`);
    return undefined;
  }
  return { key, operator, values: values as string[] };
}
