/**
 * Reads the compact type tables of types/. One type a paragraph, its name first, then its fields:
 *
 *     ServiceSpec clusterIP#3:string ports#1:[ServicePort]^port|port,protocol=TCP selector#2:{string}=atomic
 *
 *     field!:Type     required               [Type]  list            {Type}  map of strings to Type
 *     ^key            strategic merge key    ^       merge as a set of scalars
 *     |k1,k2=TCP      server-side apply: map list with these keys (default: the strategic merge key)
 *     =set =atomic    server-side apply: set, or owned as one        &       patch strategy retainKeys
 *     Name=atomic     the whole type is owned as one
 *     field#3         protobuf field number; #2.1: field 1 of a message in field 2 that JSON has inline
 *
 * The attributes are those of the Kubernetes API's Go types (patchStrategy, patchMergeKey, listType, listMapKey).
 */
import type { Schema } from "./schema.ts";

export interface TypePackage {
  /** Package of the OpenAPI definition names: "io.k8s.api.core.v1". */
  readonly prefix: string;
  readonly types: string;
}

const SCALARS: Readonly<Record<string, Schema>> = {
  string: { type: "string" },
  int: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  number: { type: "number", format: "double" },
  bool: { type: "boolean" },
  time: { type: "string", format: "date-time" },
  microtime: { type: "string", format: "date-time" },
  bytes: { type: "string", format: "byte" },
  quantity: { type: "quantity" },
  intstr: { type: "int-or-string" },
  any: { type: "any", preserveUnknown: true },
};

/** Name, number, "!", type, then attributes. */
const FIELD = /^([^:!#]+)(?:#([\d.]+))?(!?):(\[|\{)?(\w+)[\]}]?(?:(\^)(\w*))?(?:\|([\w,=]+))?(&)?(?:=(\w+))?$/;

interface ObjectSchema extends Schema {
  readonly fields: Map<string, Schema>;
  readonly numbers: Map<string, string>;
  readonly required: string[];
}

/** All types of the packages by short name; types may refer to each other in any order and to themselves. */
export function readTypeTable(packages: readonly TypePackage[]): ReadonlyMap<string, Schema> {
  const types = new Map<string, ObjectSchema>();
  const paragraphs = packages.flatMap((entry) => entry.types.trim().replaceAll("\n  ", " ").split("\n"));
  const prefixes = packages.flatMap((entry) =>
    entry.types.trim().replaceAll("\n  ", " ").split("\n").fill(entry.prefix),
  );
  const bodies: { schema: ObjectSchema; fields: string[] }[] = [];
  for (const [i, paragraph] of paragraphs.entries()) {
    const [head = "", ...fields] = paragraph.split(" ");
    const [name = "", attribute] = head.split("=");
    const schema: ObjectSchema = {
      type: "object",
      typeName: `${prefixes[i]}.${name}`,
      fields: new Map(),
      numbers: new Map(),
      required: [],
      ...(attribute === "atomic" && { atomic: true }),
    };
    if (types.has(name)) throw new SyntaxError(`Type table has ${name} twice`);
    types.set(name, schema);
    bodies.push({ schema, fields });
  }
  for (const { schema, fields } of bodies) for (const field of fields) readField(schema, field, types);
  return types;
}

function readField(owner: ObjectSchema, text: string, types: ReadonlyMap<string, Schema>): void {
  const match = FIELD.exec(text);
  if (match === null) throw new SyntaxError(`Cannot parse field "${text}" of ${owner.typeName}`);
  const [, name = "", number, required, container, typeName = ""] = match;
  const type = SCALARS[typeName] ?? types.get(typeName);
  if (type === undefined) throw new SyntaxError(`Field "${text}" of ${owner.typeName} names no known type`);
  if (required === "!") owner.required.push(name);
  if (number !== undefined) owner.numbers.set(number, name);
  owner.fields.set(name, container === undefined ? type : containerSchema(container, type, match));
}

function containerSchema(container: string, items: Schema, match: RegExpExecArray): Schema {
  const [, , , , , , merge, mergeKey, keys, retain, ownership] = match;
  if (container === "{") return { type: "map", items, ...(ownership === "atomic" && { atomic: true }) };
  const listKeys = keys ?? (ownership === undefined ? mergeKey : undefined);
  return {
    type: "list",
    items,
    ...(merge === "^" && { patchMerge: true }),
    ...(mergeKey && { patchMergeKey: mergeKey }),
    ...(retain === "&" && { retainKeys: true }),
    ...(listKeys ? mapList(listKeys) : { listType: ownership === "set" ? "set" : "atomic" }),
  };
}

function mapList(text: string): Pick<Schema, "listType" | "listKeys" | "listKeyDefaults"> {
  const pairs = text.split(",").map((key) => key.split("="));
  const defaults = pairs.flatMap(([key = "", value]) => (value === undefined ? [] : [[key, value]]));
  return {
    listType: "map",
    listKeys: pairs.map(([key = ""]) => key),
    listKeyDefaults: Object.fromEntries(defaults),
  };
}
