/**
 * Field sets from objects: all fields of one, and what changed from one to another.
 */
import { equal, type Fields, isFields, listOf } from "../object/object.ts";
import type { Schema } from "../schema/schema.ts";
import { attach, emptySet, type FieldSet, isEmpty, leaf } from "./field-set.ts";
import { fieldSchema, isAssociative, isGranularObject, itemEdge, itemsByEdge } from "./list-items.ts";

/** Every field the value names: what an applied configuration owns. */
export function fieldsIn(value: unknown, schema: Schema): FieldSet {
  if (isGranularObject(value, schema)) return fieldsInObject(value, schema);
  if (Array.isArray(value) && isAssociative(schema)) return fieldsInList(value, schema);
  return leaf();
}

function fieldsInObject(value: Fields, schema: Schema): FieldSet {
  const set = emptySet();
  for (const [name, item] of Object.entries(value)) {
    if (item === undefined) continue;
    const node = fieldsIn(item, fieldSchema(schema, name));
    if (isEmpty(node)) node.member = true;
    set.children.set(`f:${name}`, node);
  }
  return set;
}

function fieldsInList(list: readonly unknown[], schema: Schema): FieldSet {
  const set = emptySet();
  for (const item of list) {
    const node = schema.items === undefined ? leaf() : fieldsIn(item, schema.items);
    node.member = true;
    set.children.set(itemEdge(item, schema), node);
  }
  return set;
}

export interface FieldDiff {
  /** Fields that are new or have another value. */
  readonly changed: FieldSet;
  readonly removed: FieldSet;
}

/** What a write changed, field by field. */
export function diffFields(before: unknown, after: unknown, schema: Schema): FieldDiff {
  if (equal(before, after)) return { changed: emptySet(), removed: emptySet() };
  if (before === undefined) return { changed: withContainers(after, schema), removed: emptySet() };
  if (after === undefined) return { changed: emptySet(), removed: withContainers(before, schema) };
  if (isGranularObject(before, schema) && isGranularObject(after, schema)) return diffObjects(before, after, schema);
  if (Array.isArray(before) && Array.isArray(after) && isAssociative(schema)) return diffLists(before, after, schema);
  return { changed: leaf(), removed: emptySet() };
}

function diffObjects(before: Fields, after: Fields, schema: Schema): FieldDiff {
  const diff: FieldDiff = { changed: emptySet(), removed: emptySet() };
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    attachDiff(diff, `f:${name}`, diffFields(before[name], after[name], fieldSchema(schema, name)));
  }
  return diff;
}

function diffLists(before: readonly unknown[], after: readonly unknown[], schema: Schema): FieldDiff {
  const diff: FieldDiff = { changed: emptySet(), removed: emptySet() };
  const old = itemsByEdge(before, schema);
  const now = itemsByEdge(after, schema);
  for (const edge of new Set([...old.keys(), ...now.keys()])) {
    attachDiff(diff, edge, diffFields(old.get(edge), now.get(edge), schema.items ?? { type: "any" }));
  }
  return diff;
}

function attachDiff(diff: FieldDiff, edge: string, below: FieldDiff): void {
  attach(diff.changed, edge, below.changed);
  attach(diff.removed, edge, below.removed);
}

/** Fields of a value that came or went as a whole: its objects and lists are members beside their contents. */
function withContainers(value: unknown, schema: Schema): FieldSet {
  const set = leaf();
  if (isGranularObject(value, schema)) {
    for (const [name, item] of Object.entries(value)) {
      if (item !== undefined) set.children.set(`f:${name}`, withContainers(item, fieldSchema(schema, name)));
    }
  } else if (Array.isArray(value) && isAssociative(schema)) {
    for (const [edge, item] of itemsByEdge(listOf(value), schema)) {
      set.children.set(edge, isFields(item) ? withContainers(item, schema.items ?? { type: "any" }) : leaf());
    }
  }
  return set;
}
