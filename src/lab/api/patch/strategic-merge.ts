/**
 * Strategic merge patch: a merge patch that knows which lists are maps in disguise
 * (k8s.io/apimachinery/pkg/util/strategicpatch). Directives inside the patch:
 *
 *     $patch: replace | delete | merge     on a map or on an item of a keyed list; {$patch: replace} as an item of its
 *                                          own replaces the whole list
 *     $deleteFromPrimitiveList/NAME: […]   scalars to take out of the list NAME
 *     $setElementOrder/NAME: […]           the order of the list NAME after merging
 *     $retainKeys: […]                     of a union: every other field goes
 */
import { clone, equal, type Fields, isFields, listOf } from "../object/object.ts";
import { badRequest } from "../object/status.ts";
import type { Schema } from "../schema/schema.ts";
import { ANY_SCHEMA } from "../schema/schema.ts";

const DELETE_PREFIX = "$deleteFromPrimitiveList/";
const ORDER_PREFIX = "$setElementOrder/";

/**
 * `original` with the patch merged in by the schema's merge keys.
 * @throws StatusError 400 for a directive that is unknown or does not fit
 */
export function applyStrategicMergePatch(original: Fields, patch: Fields, schema: Schema): Fields {
  const merged = mergeObject(original, patch, schema);
  return merged ?? {};
}

/** The merged object, or undefined when the patch deletes it. */
function mergeObject(original: Fields, patch: Fields, schema: Schema): Fields | undefined {
  const directive = patch["$patch"];
  if (directive === "delete") return undefined;
  if (directive === "replace") return withoutDirectives(patch);
  if (directive !== undefined && directive !== "merge") throw unknownDirective(directive);
  const result: Fields = { ...original };
  if (patch["$retainKeys"] !== undefined) retainKeys(result, listOf(patch["$retainKeys"]));
  deleteFromPrimitiveLists(result, patch);
  for (const [key, value] of Object.entries(patch)) {
    if (isDirective(key) || key === "__proto__") continue;
    mergeField(result, key, value, fieldSchema(schema, key));
  }
  setElementOrders(result, patch, schema);
  return result;
}

function mergeField(result: Fields, key: string, value: unknown, schema: Schema): void {
  const original = result[key];
  if (value === null) delete result[key];
  else if (isFields(value)) {
    const merged = mergeObject(isFields(original) ? original : {}, value, schema);
    if (merged === undefined) delete result[key];
    else result[key] = merged;
  } else if (Array.isArray(value) && schema.patchMerge) {
    result[key] = mergeList(listOf(original), value, schema);
  } else result[key] = clone(value);
}

function mergeList(original: readonly unknown[], patch: readonly unknown[], schema: Schema): unknown[] {
  const key = schema.patchMergeKey;
  if (key === undefined) return [...original, ...patch.filter((item) => !original.some((old) => equal(old, item)))];
  if (patch.some((item) => isFields(item) && item["$patch"] === "replace" && item[key] === undefined)) {
    return patch.filter((item) => isFields(item) && item["$patch"] === undefined).map(clone);
  }
  const result = [...original];
  for (const item of patch) mergeItem(result, item, key, schema.items ?? ANY_SCHEMA);
  return result;
}

function mergeItem(result: unknown[], item: unknown, key: string, schema: Schema): void {
  if (!isFields(item)) throw badRequest(`expected an object with the merge key ${key} in the patch`);
  if (item[key] === undefined)
    throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
  const index = result.findIndex((old) => isFields(old) && old[key] === item[key]);
  const old = result[index];
  const merged = mergeObject(isFields(old) ? old : {}, item, schema);
  if (merged === undefined) {
    if (index >= 0) result.splice(index, 1);
  } else if (index >= 0) result[index] = merged;
  else result.push(merged);
}

function deleteFromPrimitiveLists(result: Fields, patch: Fields): void {
  for (const [directive, values] of Object.entries(patch)) {
    if (!directive.startsWith(DELETE_PREFIX)) continue;
    const key = directive.slice(DELETE_PREFIX.length);
    if (!Array.isArray(result[key])) continue;
    result[key] = listOf(result[key]).filter((item) => !listOf(values).some((gone) => equal(gone, item)));
  }
}

function setElementOrders(result: Fields, patch: Fields, schema: Schema): void {
  for (const [directive, order] of Object.entries(patch)) {
    if (!directive.startsWith(ORDER_PREFIX)) continue;
    const key = directive.slice(ORDER_PREFIX.length);
    const list = result[key];
    if (Array.isArray(list)) result[key] = inOrder(list, listOf(order), fieldSchema(schema, key).patchMergeKey);
  }
}

/** Items the order names come in that order; each other one stays behind the item it stood behind. */
function inOrder(list: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined): unknown[] {
  const keyOf = (item: unknown) => (mergeKey !== undefined && isFields(item) ? item[mergeKey] : item);
  const wanted = order.map(keyOf);
  const rank = (item: unknown) => wanted.findIndex((key) => equal(key, keyOf(item)));
  const result = list.filter((item) => rank(item) >= 0).sort((a, b) => rank(a) - rank(b));
  for (const [i, item] of list.entries()) {
    if (rank(item) >= 0) continue;
    const before = i === 0 ? -1 : result.indexOf(list[i - 1]);
    result.splice(before + 1, 0, item);
  }
  return result;
}

function retainKeys(result: Fields, keys: readonly unknown[]): void {
  for (const key of Object.keys(result)) if (!keys.includes(key)) delete result[key];
}

function fieldSchema(schema: Schema, key: string): Schema {
  return schema.fields?.get(key) ?? (schema.type === "map" ? schema.items : undefined) ?? ANY_SCHEMA;
}

function isDirective(key: string): boolean {
  return key === "$patch" || key === "$retainKeys" || key.startsWith(DELETE_PREFIX) || key.startsWith(ORDER_PREFIX);
}

function withoutDirectives(patch: Fields): Fields {
  return clone(Object.fromEntries(Object.entries(patch).filter(([key]) => !isDirective(key))));
}

function unknownDirective(directive: unknown): Error {
  return badRequest(`unknown patch type: ${JSON.stringify(directive)} in the $patch directive`);
}
