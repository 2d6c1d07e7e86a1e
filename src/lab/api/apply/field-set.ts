/**
 * Sets of fields of an object, as `managedFields` stores them (FieldsV1): a tree whose edges are
 *
 *     f:NAME       a field of an object or a key of a map
 *     k:{"a":1}    an item of a keyed list       v:"x"   a member of a set list
 *
 * A node is a member itself ("." in the JSON form, and every leaf), or only the way to members below it.
 */
import { type Fields, isFields } from "../object/object.ts";

export interface FieldSet {
  member: boolean;
  readonly children: Map<string, FieldSet>;
}

export function emptySet(): FieldSet {
  return { member: false, children: new Map() };
}

export function leaf(): FieldSet {
  return { member: true, children: new Map() };
}

export function isEmpty(set: FieldSet | undefined): boolean {
  return set === undefined || (!set.member && set.children.size === 0);
}

/** Adds a child unless it is empty. */
export function attach(set: FieldSet, edge: string, node: FieldSet | undefined): void {
  if (node !== undefined && !isEmpty(node)) set.children.set(edge, node);
}

/** Reads FieldsV1 JSON; anything that is no object is an empty set. */
export function setFromJson(json: unknown): FieldSet {
  const set = emptySet();
  if (!isFields(json)) return set;
  for (const [edge, value] of Object.entries(json)) {
    if (edge === ".") set.member = true;
    else {
      const node = setFromJson(value);
      if (node.children.size === 0) node.member = true;
      set.children.set(edge, node);
    }
  }
  return set;
}

export function setToJson(set: FieldSet): Fields {
  const json: Fields = {};
  if (set.member && set.children.size > 0) json["."] = {};
  for (const edge of [...set.children.keys()].sort()) {
    const node = set.children.get(edge);
    if (node !== undefined) json[edge] = setToJson(node);
  }
  return json;
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = { member: a.member || b.member, children: new Map(a.children) };
  for (const [edge, node] of b.children) {
    const other = a.children.get(edge);
    result.children.set(edge, other === undefined ? node : union(other, node));
  }
  return result;
}

/** Members of `a` that are not members of `b`. */
export function difference(a: FieldSet, b: FieldSet | undefined): FieldSet {
  if (b === undefined) return a;
  const result: FieldSet = { member: a.member && !b.member, children: new Map() };
  for (const [edge, node] of a.children) attach(result, edge, difference(node, b.children.get(edge)));
  return result;
}

export function intersection(a: FieldSet, b: FieldSet | undefined): FieldSet {
  const result = emptySet();
  if (b === undefined) return result;
  result.member = a.member && b.member;
  for (const [edge, node] of a.children) attach(result, edge, intersection(node, b.children.get(edge)));
  return result;
}

/** Every member as a path in the notation of conflict messages: `.spec.ports[port=80,protocol="TCP"].name`. */
export function memberPaths(set: FieldSet, prefix = ""): string[] {
  const own = set.member ? [prefix] : [];
  const below = [...set.children].flatMap(([edge, node]) => memberPaths(node, prefix + edgeText(edge)));
  return [...own, ...below];
}

function edgeText(edge: string): string {
  if (edge.startsWith("f:")) return `.${edge.slice(2)}`;
  if (edge.startsWith("v:")) return `[=${edge.slice(2)}]`;
  const keys = JSON.parse(edge.slice(2)) as Fields;
  return `[${Object.entries(keys)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(",")}]`;
}
