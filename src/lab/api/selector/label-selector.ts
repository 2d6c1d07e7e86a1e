/**
 * Label selectors, both as the query text ("app=web,tier in (a,b),!old") and as the LabelSelector object of Services
 * and policies. Grammar and meaning: k8s.io/apimachinery/pkg/labels.
 */
import { at, type Fields, isFields, listOf, textOf } from "../object/object.ts";
import { badRequest } from "../object/status.ts";

export type Labels = Readonly<Record<string, string>>;
export type LabelSelector = (labels: Labels) => boolean;

export const everything: LabelSelector = () => true;
export const nothing: LabelSelector = () => false;

const KEY = String.raw`(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?`;
const REQUIREMENT = new RegExp(
  String.raw`^\s*(?:(!)\s*(${KEY})|(${KEY})\s+(in|notin)\s*\(([^()]*)\)|(${KEY})(?:\s*(==|=|!=|>|<)\s*([\w.-]*))?)\s*$`,
);

/**
 * Parses the `labelSelector` query parameter.
 * @throws StatusError 400 for text that is no selector
 */
export function parseLabelSelector(text: string): LabelSelector {
  if (text.trim() === "") return everything;
  const requirements = splitOutsideParentheses(text).map((part) => parseRequirement(part, text));
  return (labels) => requirements.every((requirement) => requirement(labels));
}

function splitOutsideParentheses(text: string): string[] {
  return text.split(/,(?![^(]*\))/);
}

function parseRequirement(part: string, whole: string): LabelSelector {
  const match = REQUIREMENT.exec(part);
  if (match === null)
    throw badRequest(`unable to parse requirement: cannot read ${JSON.stringify(part)} in "${whole}"`);
  const [, not, absentKey = "", setKey, setOperator = "", setValues = "", key = "", operator, value = ""] = match;
  if (not !== undefined) return (labels) => labels[absentKey] === undefined;
  if (setKey !== undefined)
    return membership(
      setKey,
      setValues.split(",").map((v) => v.trim()),
      setOperator === "in",
    );
  if (operator === undefined) return (labels) => labels[key] !== undefined;
  if (operator === ">" || operator === "<") return comparison(key, operator, value, whole);
  return membership(key, [value], operator !== "!=");
}

function membership(key: string, values: readonly string[], wanted: boolean): LabelSelector {
  // An absent label is "not in" every set, as in Kubernetes.
  return (labels) => {
    const value = labels[key];
    return value === undefined ? !wanted : values.includes(value) === wanted;
  };
}

function comparison(key: string, operator: string, text: string, whole: string): LabelSelector {
  if (!/^-?\d+$/.test(text)) throw badRequest(`unable to parse requirement: "${text}" in "${whole}" is no integer`);
  const bound = BigInt(text);
  return (labels) => {
    const value = labels[key];
    if (value === undefined || !/^-?\d+$/.test(value)) return false;
    return operator === ">" ? BigInt(value) > bound : BigInt(value) < bound;
  };
}

/** Selector of a plain map, as a Service has it: every pair must match. An empty map selects nothing. */
export function mapSelector(map: Fields | undefined): LabelSelector {
  const pairs = Object.entries(map ?? {});
  if (pairs.length === 0) return nothing;
  return (labels) => pairs.every(([key, value]) => labels[key] === value);
}

/** Requirements of a LabelSelector object or of a node selector term, as matchExpressions spells them. */
export function expressionSelector(expressions: unknown): LabelSelector {
  const requirements = listOf(expressions).map(expressionRequirement);
  return (labels) => requirements.every((requirement) => requirement(labels));
}

function expressionRequirement(expression: unknown): LabelSelector {
  const key = textOf(at(expression, "key"));
  const values = listOf(at(expression, "values")).map(String);
  switch (at(expression, "operator")) {
    case "In":
      return membership(key, values, true);
    case "NotIn":
      return membership(key, values, false);
    case "Exists":
      return (labels) => labels[key] !== undefined;
    case "DoesNotExist":
      return (labels) => labels[key] === undefined;
    case "Gt":
    case "Lt":
      return comparison(key, at(expression, "operator") === "Gt" ? ">" : "<", values[0] ?? "", key);
    default:
      return nothing;
  }
}

/** A LabelSelector object: empty selects everything, absent selects nothing. */
export function objectSelector(selector: unknown): LabelSelector {
  if (!isFields(selector)) return nothing;
  const pairs = Object.entries(isFields(selector["matchLabels"]) ? selector["matchLabels"] : {});
  const expressions = expressionSelector(selector["matchExpressions"]);
  return (labels) => pairs.every(([key, value]) => labels[key] === value) && expressions(labels);
}
