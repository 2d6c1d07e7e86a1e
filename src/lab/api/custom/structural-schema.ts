/**
 * A custom resource's OpenAPI v3 schema read into the server's own {@link Schema}, so that pruning, strict decoding and
 * server-side apply treat custom and built-in kinds alike.
 */
import { at, type Fields, fieldsOf, isFields, listOf, textOf } from "../object/object.ts";
import { builtInSchema } from "../schema/built-in.ts";
import { ANY_SCHEMA, type Schema, type SchemaType } from "../schema/schema.ts";

/** The schema of a whole custom resource: the API adds apiVersion, kind and metadata to what the definition says. */
export function customResourceSchema(openApi: unknown, typeName: string): Schema {
  const root = convert(fieldsOf(openApi));
  return withObjectFields({ ...root, type: "object", typeName, source: fieldsOf(openApi) });
}

function withObjectFields(schema: Schema): Schema {
  const fields = new Map(schema.fields);
  fields.set("apiVersion", { type: "string" });
  fields.set("kind", { type: "string" });
  fields.set("metadata", builtInSchema("ObjectMeta"));
  return { ...schema, fields };
}

function convert(json: Fields): Schema {
  const base = { ...(json["nullable"] === true && { nullable: true }), source: json };
  if (json["x-kubernetes-int-or-string"] === true) return { ...base, type: "int-or-string" };
  switch (json["type"]) {
    case "object":
      return convertObject(json, base);
    case "array":
      return { ...base, type: "list", items: convert(fieldsOf(json["items"])), ...listAttributes(json) };
    case "string":
    case "integer":
    case "number":
    case "boolean":
      // Formats and bounds are the validator's; here only the type counts.
      return { ...base, type: json["type"] as SchemaType };
    default:
      return { ...base, ...ANY_SCHEMA };
  }
}

function convertObject(json: Fields, base: Partial<Schema>): Schema {
  const atomic = json["x-kubernetes-map-type"] === "atomic" && { atomic: true };
  const additional = json["additionalProperties"];
  if (isFields(additional)) return { ...base, type: "map", items: convert(additional), ...atomic };
  if (additional === true) return { ...base, type: "map", items: ANY_SCHEMA, ...atomic };
  const fields = new Map(
    Object.entries(fieldsOf(json["properties"])).map(([name, item]) => [name, convert(fieldsOf(item))]),
  );
  const preserveUnknown = json["x-kubernetes-preserve-unknown-fields"] === true && { preserveUnknown: true };
  const schema: Schema = { ...base, type: "object", fields, ...preserveUnknown, ...atomic };
  return json["x-kubernetes-embedded-resource"] === true ? withObjectFields(schema) : schema;
}

function listAttributes(json: Fields): Pick<Schema, "listType" | "listKeys" | "listKeyDefaults"> {
  const listType = textOf(json["x-kubernetes-list-type"]);
  if (listType !== "map") return { listType: listType === "set" ? "set" : "atomic" };
  const listKeys = listOf(json["x-kubernetes-list-map-keys"]).map(String);
  const defaults = listKeys.flatMap((key) => {
    const value = at(json, "items", "properties", key, "default");
    return value === undefined ? [] : [[key, String(value)]];
  });
  return { listType: "map", listKeys, listKeyDefaults: Object.fromEntries(defaults) };
}

/** Fills in the schema's defaults, also inside defaults. A null that is not allowed counts as absent. */
export function applyDefaults(value: unknown, json: Fields): void {
  if (Array.isArray(value)) {
    for (const item of value) applyDefaults(item, fieldsOf(json["items"]));
    return;
  }
  if (!isFields(value)) return;
  for (const [name, property] of Object.entries(fieldsOf(json["properties"]))) {
    const schema = fieldsOf(property);
    const absent = value[name] === undefined || (value[name] === null && schema["nullable"] !== true);
    if (absent && schema["default"] !== undefined) value[name] = structuredClone(schema["default"]);
    applyDefaults(value[name], schema);
  }
  const additional = json["additionalProperties"];
  if (isFields(additional)) for (const item of Object.values(value)) applyDefaults(item, additional);
}
