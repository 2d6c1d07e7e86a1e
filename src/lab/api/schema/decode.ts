/**
 * Decodes JSON of a client into the shape of a schema, as the API server's typed decoder does: unknown fields are
 * collected (and dropped), nulls are dropped, a value of the wrong type fails the whole request.
 */
import { type Fields, isFields } from "../object/object.ts";
import { badRequest } from "../object/status.ts";
import type { Schema } from "./schema.ts";

export interface Decoded {
  readonly value: Fields;
  /** Paths of dropped fields: "spec.containers[0].imagee". */
  readonly unknownFields: readonly string[];
}

/**
 * Reads `input` as an object of `schema`. `lenient` leaves values of a wrong type as they are: custom resources are
 * validated afterwards, with an answer that names every fault.
 * @throws StatusError 400 when a value has the wrong type
 */
export function decode(input: Fields, schema: Schema, subject: string, lenient = false): Decoded {
  const unknownFields: string[] = [];
  const value = decodeValue(input, schema, { path: "", subject, unknownFields, lenient });
  return { value: isFields(value) ? value : {}, unknownFields };
}

interface Place {
  readonly path: string;
  readonly subject: string;
  readonly unknownFields: string[];
  readonly lenient: boolean;
}

function inside(place: Place, path: string): Place {
  return { ...place, path };
}

function decodeValue(value: unknown, schema: Schema, place: Place): unknown {
  switch (schema.type) {
    case "object":
      return decodeObject(value, schema, place);
    case "map":
      return decodeMap(value, schema, place);
    case "list":
      return decodeList(value, schema, place);
    case "any":
      return value;
    default:
      return decodeScalar(value, schema, place);
  }
}

function decodeObject(value: unknown, schema: Schema, place: Place): unknown {
  if (!isFields(value)) return mismatch(value, "object", place);
  const result: Fields = {};
  for (const key in value) {
    const item = value[key];
    const path = place.path === "" ? key : `${place.path}.${key}`;
    const field = schema.fields?.get(key);
    if (field !== undefined) {
      if (item !== null && item !== undefined) result[key] = decodeValue(item, field, inside(place, path));
      else if (field.nullable && item === null) result[key] = null;
    } else if (schema.preserveUnknown) result[key] = item;
    else place.unknownFields.push(path);
  }
  return result;
}

function decodeMap(value: unknown, schema: Schema, place: Place): unknown {
  if (!isFields(value)) return mismatch(value, "map", place);
  const result: Fields = Object.create(null) as Fields;
  for (const key in value) {
    const item = value[key];
    if (item === undefined) continue;
    if (item === null && schema.items?.type === "string") result[key] = "";
    else if (schema.items !== undefined)
      result[key] = decodeValue(item, schema.items, inside(place, `${place.path}.${key}`));
  }
  return { ...result };
}

function decodeList(value: unknown, schema: Schema, place: Place): unknown {
  if (!Array.isArray(value)) return mismatch(value, "list", place);
  const { items } = schema;
  if (items === undefined) return value;
  return value.map((item, i) => decodeValue(item, items, inside(place, `${place.path}[${i}]`)));
}

/** Go's json package refuses 1.5 and 2^40 for an int32, and everything but true and false for a bool. */
function decodeScalar(value: unknown, schema: Schema, place: Place): unknown {
  if (!scalarFits(value, schema)) return mismatch(value, goType(schema), place);
  // Quantities may be written as numbers; they are kept as text.
  return schema.type === "quantity" && typeof value === "number" ? String(value) : value;
}

function scalarFits(value: unknown, schema: Schema): boolean {
  switch (schema.type) {
    case "integer":
      return Number.isSafeInteger(value) && (schema.format !== "int32" || Number(value) === (Number(value) | 0));
    case "number":
      return typeof value === "number";
    case "boolean":
      return typeof value === "boolean";
    case "int-or-string":
      return typeof value === "string" || Number.isSafeInteger(value);
    case "quantity":
      return typeof value === "number" || (typeof value === "string" && QUANTITY.test(value));
    default:
      return typeof value === "string" && (schema.format !== "date-time" || isTime(value));
  }
}

/** k8s.io/apimachinery/pkg/api/resource: sign, decimal number, then an SI or binary suffix or an exponent. */
const QUANTITY = /^[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/;

function isTime(value: string): boolean {
  return /^\d{4}-\d\d-\d\d[Tt ]/.test(value) && !Number.isNaN(Date.parse(value));
}

function goType(schema: Schema): string {
  if (schema.type === "integer") return schema.format ?? "int64";
  if (schema.format === "date-time") return "v1.Time";
  const names: Record<string, string> = { boolean: "bool", number: "float64", "int-or-string": "intstr.IntOrString" };
  return names[schema.type] ?? schema.type;
}

/** The value itself where types are checked later. */
function mismatch(value: unknown, wanted: string, place: Place): unknown {
  // Metadata is typed for every kind.
  if (place.lenient && place.path !== "metadata" && !place.path.startsWith("metadata.")) return value;
  const shown = typeof value === "number" ? `number ${value}` : JSON.stringify(value)?.slice(0, 80);
  const got = isFields(value) ? "object" : Array.isArray(value) ? "array" : value === null ? "null" : shown;
  const field = place.path === "" ? "the body" : `field ${place.path}`;
  throw badRequest(`${place.subject} json: cannot unmarshal ${got} into ${field} of type ${wanted}`);
}
