/**
 * meta/v1 LabelSelector: "matchLabels is a map of {key,value} pairs … equivalent to an element of matchExpressions, whose
 * operator is In. The result of matchLabels and matchExpressions are ANDed. An empty label selector matches all objects."
 */
import { fieldsOf, isAbsent, isObject, listOf, MISFIT, type Misfit, stringsOf } from "./raw-fields.ts";

type Labels = Readonly<Record<string, unknown>>;

/** MISFIT for a selector that no server would have taken. */
export function matchesLabels(selector: unknown, labels: Labels): boolean | Misfit {
  if (!isObject(selector)) return MISFIT;
  const { matchLabels, matchExpressions } = selector;
  const expressions = listOf(matchExpressions);
  if (expressions === MISFIT || !(isAbsent(matchLabels) || isObject(matchLabels))) return MISFIT;
  const answers: (boolean | Misfit)[] = expressions.map((each) => expressionHolds(each, labels));
  for (const [key, value] of Object.entries(fieldsOf(matchLabels))) {
    answers.push(typeof value === "string" ? labels[key] === value : MISFIT);
  }
  return answers.includes(MISFIT) ? MISFIT : answers.every((answer) => answer === true);
}

/**
 * "Valid operators are In, NotIn, Exists and DoesNotExist. If the operator is In or NotIn, the values array must be
 * non-empty. If the operator is Exists or DoesNotExist, the values array must be empty." NotIn holds without the label, too:
 * "all resources with key equal to environment, and all resources with no labels with the environment key".
 */
function expressionHolds(expression: unknown, labels: Labels): boolean | Misfit {
  const { key, operator, values: listed } = fieldsOf(expression);
  const values = stringsOf(listed);
  if (typeof key !== "string" || key === "" || values === MISFIT) return MISFIT;
  const value = labels[key];
  if (operator === "In" && values.length > 0) return typeof value === "string" && values.includes(value);
  if (operator === "NotIn" && values.length > 0) return typeof value !== "string" || !values.includes(value);
  if (operator === "Exists" && values.length === 0) return typeof value === "string";
  if (operator === "DoesNotExist" && values.length === 0) return typeof value !== "string";
  return MISFIT;
}
