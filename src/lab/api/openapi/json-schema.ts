/**
 * The server's schemas as OpenAPI schemas. v2 and v3 differ only in where definitions are found.
 */

import type { Fields } from "../object/object.ts";
import { apiVersionOf, type Resource } from "../resources/resource.ts";
import { builtInSchemas } from "../schema/built-in.ts";
import type { Schema } from "../schema/schema.ts";

/** "#/definitions/" (v2) or "#/components/schemas/" (v3). */
export type RefPrefix = "#/definitions/" | "#/components/schemas/";

/** Definitions of all types that these resources reach, by name. */
export function definitions(resources: readonly Resource[], prefix: RefPrefix): Record<string, Fields> {
  const result: Record<string, Fields> = {};
  const pending = [...resources.map((resource) => resource.schema), ...sharedTypes()];
  const seen = new Set<Schema>();
  for (let schema = pending.pop(); schema !== undefined; schema = pending.pop()) {
    if (seen.has(schema)) continue;
    seen.add(schema);
    if (schema.typeName !== undefined) result[schema.typeName] = body(schema, prefix);
    pending.push(...(schema.fields?.values() ?? []), ...(schema.items === undefined ? [] : [schema.items]));
  }
  for (const resource of resources) addKinds(result, resource, prefix);
  return result;
}

function sharedTypes(): Schema[] {
  return [...builtInSchemas()].filter((schema) => /\.(DeleteOptions|Status|ListMeta)$/.test(schema.typeName ?? ""));
}

/** Names the kind of the definition, and adds its list. */
function addKinds(result: Record<string, Fields>, resource: Resource, prefix: RefPrefix): void {
  const { group, version, kind, listKind, schema } = resource;
  const name = schema.typeName ?? "";
  const definition = result[name];
  if (definition !== undefined) definition["x-kubernetes-group-version-kind"] = [{ group, kind, version }];
  result[`${name}List`] = {
    type: "object",
    description: `${listKind} is a list of ${kind} of ${apiVersionOf(resource)}`,
    required: ["items"],
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { $ref: `${prefix}io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta` },
      items: { type: "array", items: { $ref: `${prefix}${name}` } },
    },
    "x-kubernetes-group-version-kind": [{ group, kind: listKind, version }],
  };
}

function reference(schema: Schema, prefix: RefPrefix): Fields {
  if (schema.typeName === undefined) return body(schema, prefix);
  // OpenAPI v3.0 ignores what stands beside $ref, so it is wrapped as the real server does.
  const $ref = `${prefix}${schema.typeName}`;
  return prefix === "#/definitions/" ? { $ref } : { allOf: [{ $ref }], default: {} };
}

function body(schema: Schema, prefix: RefPrefix): Fields {
  const description = schema.source?.["description"];
  const base: Fields = typeof description === "string" ? { description } : {};
  if (schema.nullable && prefix !== "#/definitions/") base["nullable"] = true;
  switch (schema.type) {
    case "object":
      return { ...base, ...objectBody(schema, prefix) };
    case "map":
      return { ...base, type: "object", additionalProperties: items(schema, prefix), ...(schema.atomic && MAP_ATOMIC) };
    case "list":
      return { ...base, type: "array", items: items(schema, prefix), ...listExtensions(schema) };
    case "int-or-string":
      return prefix === "#/definitions/"
        ? { ...base, type: "string", format: "int-or-string" }
        : { ...base, ...INT_OR_STRING };
    case "quantity":
      return prefix === "#/definitions/"
        ? { ...base, type: "string" }
        : { ...base, oneOf: [{ type: "string" }, { type: "number" }] };
    case "any":
      return { ...base, ...(schema.source !== undefined && { "x-kubernetes-preserve-unknown-fields": true }) };
    default:
      return { ...base, type: schema.type, ...(schema.format !== undefined && { format: schema.format }) };
  }
}

const MAP_ATOMIC = { "x-kubernetes-map-type": "atomic" };
const INT_OR_STRING = { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] };

function objectBody(schema: Schema, prefix: RefPrefix): Fields {
  const properties = [...(schema.fields ?? [])].map(([name, field]) => [name, reference(field, prefix)]);
  const sourceRequired = schema.source?.["required"];
  const required = schema.required ?? (Array.isArray(sourceRequired) ? sourceRequired : []);
  return {
    type: "object",
    ...(properties.length > 0 && { properties: Object.fromEntries(properties) }),
    ...(required.length > 0 && { required }),
    ...(schema.atomic && MAP_ATOMIC),
    ...(schema.preserveUnknown && { "x-kubernetes-preserve-unknown-fields": true }),
  };
}

function items(schema: Schema, prefix: RefPrefix): Fields {
  return schema.items === undefined ? {} : reference(schema.items, prefix);
}

function listExtensions(schema: Schema): Fields {
  return {
    ...(schema.listType !== undefined && { "x-kubernetes-list-type": schema.listType }),
    ...(schema.listKeys !== undefined && { "x-kubernetes-list-map-keys": schema.listKeys }),
    ...(schema.patchMerge && { "x-kubernetes-patch-strategy": schema.retainKeys ? "merge,retainKeys" : "merge" }),
    ...(schema.patchMergeKey !== undefined && { "x-kubernetes-patch-merge-key": schema.patchMergeKey }),
  };
}
