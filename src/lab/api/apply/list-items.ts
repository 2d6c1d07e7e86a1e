/**
 * Items of lists that server-side apply addresses one by one: of keyed lists by their keys, of sets by their value.
 */
import { type Fields, isFields } from "../object/object.ts";
import type { Schema } from "../schema/schema.ts";

/** True for lists whose items are owned one by one. */
export function isAssociative(schema: Schema): boolean {
  return schema.listType === "map" || schema.listType === "set";
}

/** The edge of an item in a field set; keys that the item leaves out take their defaults. */
export function itemEdge(item: unknown, schema: Schema): string {
  if (schema.listType === "set" || !isFields(item)) return `v:${JSON.stringify(item)}`;
  const keys: Fields = {};
  for (const key of [...(schema.listKeys ?? [])].sort()) {
    const value = item[key] ?? schema.listKeyDefaults?.[key];
    if (value !== undefined) keys[key] = value;
  }
  return `k:${JSON.stringify(keys)}`;
}

/** Items by edge; of two items with one edge the first counts. */
export function itemsByEdge(list: readonly unknown[], schema: Schema): Map<string, unknown> {
  const items = new Map<string, unknown>();
  for (const item of list) {
    const edge = itemEdge(item, schema);
    if (!items.has(edge)) items.set(edge, item);
  }
  return items;
}

/** The schema below a field of an object, a key of a map. */
export function fieldSchema(schema: Schema, name: string): Schema {
  return schema.fields?.get(name) ?? schema.items ?? UNTYPED;
}

/** Below a field without schema: objects are granular, lists are atomic, as in an open custom resource. */
const UNTYPED: Schema = { type: "any" };

/** True when the value is entered field by field. */
export function isGranularObject(value: unknown, schema: Schema): value is Fields {
  return isFields(value) && schema.atomic !== true && schema.type !== "list";
}
