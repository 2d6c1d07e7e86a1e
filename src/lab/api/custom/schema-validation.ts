/**
 * Validates JSON by an OpenAPI v3 schema, with the messages of the API server (k8s.io/kube-openapi/pkg/validation).
 * CEL rules (x-kubernetes-validations) are not evaluated.
 */
import type { FieldErrors } from "../object/field-errors.ts";
import { equal, type Fields, fieldsOf, isFields, listOf } from "../object/object.ts";

interface Checks {
  readonly errors: FieldErrors;
  readonly path: string;
  readonly json: Fields;
}

export function validateBySchema(value: unknown, json: Fields, errors: FieldErrors, path = ""): void {
  if (value === null && json["nullable"] === true) return;
  if (!checkType(value, { errors, path, json })) return;
  checkEnum(value, { errors, path, json });
  if (typeof value === "string") checkString(value, { errors, path, json });
  else if (typeof value === "number") checkNumber(value, { errors, path, json });
  else if (Array.isArray(value)) checkList(value, { errors, path, json });
  else if (isFields(value)) checkObject(value, { errors, path, json });
  checkCombinations(value, { errors, path, json });
}

function checkType(value: unknown, { errors, path, json }: Checks): boolean {
  if (json["x-kubernetes-int-or-string"] === true) {
    if (typeof value === "string" || Number.isInteger(value)) return true;
    errors.typeInvalid(
      path,
      value,
      `${path} in body must be of type integer,string: ${JSON.stringify(typeName(value))}`,
    );
    return false;
  }
  const type = json["type"];
  if (typeof type !== "string" || type === "") return true;
  const actual = typeName(value);
  if (actual === type || (type === "number" && actual === "integer")) return true;
  errors.typeInvalid(path, actual, `${path} in body must be of type ${type}: ${JSON.stringify(actual)}`);
  return false;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function checkEnum(value: unknown, { errors, path, json }: Checks): void {
  const allowed = json["enum"];
  if (!Array.isArray(allowed) || allowed.some((item) => equal(item, value))) return;
  errors.notSupported(
    path,
    value,
    allowed.map((item) => (typeof item === "string" ? item : JSON.stringify(item))),
  );
}

function checkString(value: string, { errors, path, json }: Checks): void {
  const length = [...value].length;
  const { minLength, maxLength, pattern, format } = json;
  if (typeof minLength === "number" && length < minLength) {
    errors.invalid(path, value, `${path} in body should be at least ${minLength} chars long`);
  }
  if (typeof maxLength === "number" && length > maxLength) errors.tooLong(path, maxLength);
  if (typeof pattern === "string" && compilePattern(pattern)?.test(value) === false) {
    errors.invalid(path, value, `${path} in body should match '${pattern}'`);
  }
  if (typeof format === "string" && !fitsFormat(value, format)) {
    errors.invalid(path, value, `${path} in body must be of type ${format}: ${JSON.stringify(value)}`);
  }
}

/** Go's RE2 syntax is near enough to a subset of JavaScript's. Undefined for a pattern that does not compile. */
export function compilePattern(pattern: string): RegExp | undefined {
  for (const text of [pattern, pattern.replaceAll("(?P<", "(?<")]) {
    try {
      return new RegExp(text, "u");
    } catch {
      // The next spelling, or none: a definition with such a pattern is refused.
    }
  }
  return undefined;
}

const FORMATS: Readonly<Record<string, RegExp>> = {
  "date-time": /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/,
  date: /^\d{4}-\d\d-\d\d$/,
  ipv4: /^\d{1,3}(\.\d{1,3}){3}$/,
  ipv6: /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$/,
  cidr: /^[0-9A-Fa-f:.]+\/\d{1,3}$/,
  mac: /^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$/,
  uuid: /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i,
  byte: /^[A-Za-z0-9+/]*={0,2}$/,
};

function fitsFormat(value: string, format: string): boolean {
  return FORMATS[format]?.test(value) ?? true;
}

function checkNumber(value: number, { errors, path, json }: Checks): void {
  const { minimum, maximum, multipleOf } = json;
  const openMin = json["exclusiveMinimum"] === true;
  const openMax = json["exclusiveMaximum"] === true;
  if (typeof minimum === "number" && (value < minimum || (openMin && value === minimum))) {
    errors.invalid(path, value, `${path} in body should be greater than ${openMin ? "" : "or equal to "}${minimum}`);
  }
  if (typeof maximum === "number" && (value > maximum || (openMax && value === maximum))) {
    errors.invalid(path, value, `${path} in body should be less than ${openMax ? "" : "or equal to "}${maximum}`);
  }
  if (typeof multipleOf === "number" && !Number.isInteger(value / multipleOf)) {
    errors.invalid(path, value, `${path} in body should be a multiple of ${multipleOf}`);
  }
}

function checkList(list: readonly unknown[], { errors, path, json }: Checks): void {
  const { minItems, maxItems } = json;
  if (typeof minItems === "number" && list.length < minItems) {
    errors.invalid(path, list.length, `${path} in body should have at least ${minItems} items`);
  }
  if (typeof maxItems === "number" && list.length > maxItems) errors.tooMany(path, list.length, maxItems);
  checkDuplicates(list, { errors, path, json });
  const items = json["items"];
  if (isFields(items)) for (const [i, item] of list.entries()) validateBySchema(item, items, errors, `${path}[${i}]`);
}

/** uniqueItems, and the promise a set or map list makes. */
function checkDuplicates(list: readonly unknown[], { errors, path, json }: Checks): void {
  const kind = json["x-kubernetes-list-type"];
  const keys = listOf(json["x-kubernetes-list-map-keys"]).map(String);
  if (kind !== "set" && kind !== "map" && json["uniqueItems"] !== true) return;
  const seen = new Set<string>();
  for (const [i, item] of list.entries()) {
    const identity = kind === "map" ? keys.map((key) => fieldsOf(item)[key]) : item;
    const text = JSON.stringify(identity);
    if (seen.has(text))
      errors.duplicate(
        `${path}[${i}]`,
        kind === "map" ? Object.fromEntries(keys.map((k) => [k, fieldsOf(item)[k]])) : item,
      );
    seen.add(text);
  }
}

function checkObject(value: Fields, { errors, path, json }: Checks): void {
  const inside = (name: string) => (path === "" ? name : `${path}.${name}`);
  const { minProperties, maxProperties } = json;
  const count = Object.keys(value).length;
  for (const name of listOf(json["required"]).map(String)) if (value[name] === undefined) errors.required(inside(name));
  if (typeof minProperties === "number" && count < minProperties) {
    errors.invalid(path, count, `${path} in body should have at least ${minProperties} properties`);
  }
  if (typeof maxProperties === "number" && count > maxProperties) errors.tooMany(path, count, maxProperties);
  const properties = fieldsOf(json["properties"]);
  const additional = json["additionalProperties"];
  for (const [name, item] of Object.entries(value)) {
    // Metadata is checked by rules of its own.
    if (path === "" && name === "metadata") continue;
    const schema = isFields(properties[name]) ? properties[name] : additional;
    if (isFields(schema) && item !== undefined) validateBySchema(item, schema, errors, inside(name));
  }
}

function checkCombinations(value: unknown, { errors, path, json }: Checks): void {
  for (const schema of listOf(json["allOf"])) validateBySchema(value, fieldsOf(schema), errors, path);
  const fits = (schema: unknown) => isValid(value, fieldsOf(schema), errors, path);
  if (Array.isArray(json["anyOf"]) && !json["anyOf"].some(fits)) {
    errors.invalid(path, value, `"${path}" must validate at least one schema (anyOf)`);
  }
  if (Array.isArray(json["oneOf"])) {
    const count = json["oneOf"].filter(fits).length;
    if (count !== 1)
      errors.invalid(
        path,
        value,
        `"${path}" must validate one and only one schema (oneOf). Found ${count === 0 ? "none" : count} valid`,
      );
  }
  if (isFields(json["not"]) && fits(json["not"]))
    errors.invalid(path, value, `"${path}" must not validate the schema (not)`);
}

function isValid(value: unknown, json: Fields, errors: FieldErrors, path: string): boolean {
  const scratch = errors.scratch();
  validateBySchema(value, json, scratch, path);
  return scratch.causes.length === 0;
}
