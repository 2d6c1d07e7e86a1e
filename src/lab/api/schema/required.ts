/**
 * Fields that a schema requires and an object lacks. An empty string or list counts as lacking, as for Go's zero values.
 */
import type { FieldErrors } from "../object/field-errors.ts";
import { isFields } from "../object/object.ts";
import type { Schema } from "./schema.ts";

export function validateRequired(value: unknown, schema: Schema, errors: FieldErrors, path = ""): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined || isScalar(items)) return;
    for (const [i, item] of value.entries()) validateRequired(item, items, errors, `${path}[${i}]`);
    return;
  }
  if (!isFields(value) || schema.type === "any") return;
  for (const name of schema.required ?? []) {
    const item = value[name];
    if (item === undefined || item === "" || (Array.isArray(item) && item.length === 0)) {
      errors.required(path === "" ? name : `${path}.${name}`);
    }
  }
  for (const [name, item] of Object.entries(value)) {
    const field = schema.fields?.get(name) ?? schema.items;
    if (field !== undefined && !isScalar(field))
      validateRequired(item, field, errors, path === "" ? name : `${path}.${name}`);
  }
}

function isScalar(schema: Schema): boolean {
  return schema.type !== "object" && schema.type !== "list" && schema.type !== "map";
}
