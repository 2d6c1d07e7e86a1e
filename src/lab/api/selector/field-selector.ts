/**
 * Field selectors: "spec.nodeName=node1,status.phase!=Running". Only the fields a kind declares can be selected;
 * every kind has metadata.name and metadata.namespace.
 */
import { at, type KubeObject } from "../object/object.ts";
import { badRequest } from "../object/status.ts";

export type FieldSelector = (object: KubeObject) => boolean;

interface Requirement {
  readonly field: string;
  readonly equal: boolean;
  readonly value: string;
}

const REQUIREMENT = /^([^=!]+)(==|=|!=)(.*)$/s;

/**
 * Parses the `fieldSelector` query parameter for a kind that can be selected by `fields`.
 * @throws StatusError 400 for other fields and for text that is no selector
 */
export function parseFieldSelector(text: string, fields: readonly string[]): FieldSelector {
  if (text.trim() === "") return () => true;
  const requirements = text.split(/(?<!\\),/).map((part) => parseRequirement(part, text, fields));
  return (object) => requirements.every(({ field, equal, value }) => (fieldText(object, field) === value) === equal);
}

function parseRequirement(part: string, whole: string, fields: readonly string[]): Requirement {
  const match = REQUIREMENT.exec(part.trim());
  if (match === null) throw badRequest(`invalid selector: "${whole}"; can't understand "${part}"`);
  const [, field = "", operator, value = ""] = match;
  if (!fields.includes(field)) throw badRequest(`field label not supported: ${field}`);
  return { field, equal: operator !== "!=", value: value.replace(/\\(.)/g, "$1") };
}

/** The field as text: an absent one is "", booleans and numbers print as they do in Go. */
function fieldText(object: KubeObject, field: string): string {
  const value = at(object, ...field.split("."));
  if (value === undefined || value === null) return field === "spec.unschedulable" ? "false" : "";
  return String(value);
}
