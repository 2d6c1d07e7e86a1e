/**
 * Merging for server-side apply: the applied configuration over the live object, then taking out what the applier
 * no longer names and nobody else owns (sigs.k8s.io/structured-merge-diff).
 */
import { clone, type Fields, isFields } from "../object/object.ts";
import type { Schema } from "../schema/schema.ts";
import type { FieldSet } from "./field-set.ts";
import { fieldSchema, isAssociative, isGranularObject, itemEdge, itemsByEdge } from "./list-items.ts";

/** `config` over `live`: objects field by field, keyed lists item by item, the rest replaced. */
export function mergeApplied(live: unknown, config: unknown, schema: Schema): unknown {
  if (isGranularObject(live, schema) && isGranularObject(config, schema)) {
    const result: Fields = { ...live };
    for (const [name, value] of Object.entries(config)) {
      result[name] = mergeApplied(live[name], value, fieldSchema(schema, name));
    }
    return result;
  }
  if (Array.isArray(live) && Array.isArray(config) && isAssociative(schema)) return mergeLists(live, config, schema);
  return clone(config);
}

/** Applied items in their order; items only the live list has stay behind the item they stood behind. */
function mergeLists(live: readonly unknown[], config: readonly unknown[], schema: Schema): unknown[] {
  const liveItems = itemsByEdge(live, schema);
  const configItems = itemsByEdge(config, schema);
  const merged = [...configItems].map(([edge, item]) => {
    const old = liveItems.get(edge);
    return { edge, item: old === undefined ? clone(item) : mergeApplied(old, item, schema.items ?? { type: "any" }) };
  });
  let previous = -1;
  for (const [edge, item] of liveItems) {
    const index = merged.findIndex((entry) => entry.edge === edge);
    if (index >= 0) previous = index;
    else merged.splice(++previous, 0, { edge, item });
  }
  return merged.map((entry) => entry.item);
}

/**
 * Removes from `value` the fields of `dropped` (what the applier owned before and names no more) unless `kept`, what
 * any manager owns now, holds them or something below them.
 */
export function pruneDropped(value: unknown, dropped: FieldSet, kept: FieldSet | undefined, schema: Schema): unknown {
  if (isGranularObject(value, schema)) return pruneObject(value, dropped, kept, schema);
  if (Array.isArray(value) && isAssociative(schema)) return pruneList(value, dropped, kept, schema);
  return value;
}

function pruneObject(value: Fields, dropped: FieldSet, kept: FieldSet | undefined, schema: Schema): Fields {
  const result: Fields = { ...value };
  for (const [edge, node] of dropped.children) {
    const name = edge.slice(2);
    if (!(name in result)) continue;
    const owned = kept?.children.get(edge);
    if (owned === undefined) delete result[name];
    else result[name] = pruneDropped(result[name], node, owned, fieldSchema(schema, name));
  }
  return result;
}

function pruneList(list: readonly unknown[], dropped: FieldSet, kept: FieldSet | undefined, schema: Schema): unknown[] {
  return list.flatMap((item) => {
    const edge = itemEdge(item, schema);
    const node = dropped.children.get(edge);
    if (node === undefined) return [item];
    const owned = kept?.children.get(edge);
    if (owned === undefined) return [];
    return [isFields(item) ? pruneDropped(item, node, owned, schema.items ?? { type: "any" }) : item];
  });
}
