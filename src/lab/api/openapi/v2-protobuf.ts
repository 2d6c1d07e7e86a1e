/**
 * The OpenAPI v2 document in protobuf, for kubectl before 1.27, which asks for nothing else.
 * Field numbers: openapiv2/OpenAPIv2.proto of github.com/google/gnostic; wire format: protobuf.dev/programming-guides/encoding.
 */
import { type Fields, fieldsOf, isFields, listOf } from "../object/object.ts";

/** Wire types of a field key. */
const VARINT = 0;
const LENGTH_DELIMITED = 2;

type Message = Buffer[];

export function encodeDocument(document: Fields): Buffer {
  const info = fieldsOf(document["info"]);
  return Buffer.concat([
    text(1, document["swagger"]),
    message(2, [text(1, info["title"]), text(2, info["version"])]),
    message(8, named(2, document["paths"], encodePathItem)),
    message(9, named(1, document["definitions"], encodeSchema)),
  ]);
}

function encodePathItem(item: Fields): Message {
  const numbers: Readonly<Record<string, number>> = { get: 2, put: 3, post: 4, delete: 5, patch: 8 };
  const operations = Object.entries(numbers).flatMap(([method, number]) =>
    isFields(item[method]) ? [message(number, encodeOperation(item[method]))] : [],
  );
  return [
    ...operations,
    ...listOf(item["parameters"]).map((parameter) => message(9, encodeParameter(fieldsOf(parameter)))),
  ];
}

function encodeOperation(operation: Fields): Message {
  return [
    text(5, operation["operationId"]),
    ...listOf(operation["parameters"]).map((parameter) => message(8, encodeParameter(fieldsOf(parameter)))),
    // Responses { response_code: NamedResponseValue { name, value { response { description } } } }
    message(9, [message(1, [text(1, "200"), message(2, [message(1, [text(1, "OK")])])])]),
    ...extensions(13, operation),
  ];
}

/** ParametersItem { parameter { non_body_parameter { query (3) or path (4) } } }. */
function encodeParameter(parameter: Fields): Message {
  const inPath = parameter["in"] === "path";
  // The type's number differs: a query parameter may also be empty, which takes a number before it.
  const own = [
    ...(parameter["required"] === true ? [flag(1)] : []),
    text(2, parameter["in"]),
    text(4, parameter["name"]),
    text(inPath ? 5 : 6, parameter["type"]),
  ];
  return [message(1, [message(2, [message(inPath ? 4 : 3, own)])])];
}

function encodeSchema(schema: Fields): Message {
  const additional = schema["additionalProperties"];
  return [
    text(1, schema["$ref"]),
    text(2, schema["format"]),
    text(4, schema["description"]),
    ...listOf(schema["required"]).map((name) => text(19, name)),
    ...(isFields(additional) ? [message(21, [message(1, encodeSchema(additional))])] : []),
    ...(schema["type"] === undefined ? [] : [message(22, [text(1, schema["type"])])]),
    ...(isFields(schema["items"]) ? [message(23, [message(1, encodeSchema(schema["items"]))])] : []),
    ...(isFields(schema["properties"]) ? [message(25, named(1, schema["properties"], encodeSchema))] : []),
    ...extensions(31, schema),
  ];
}

/** A map as repeated messages of name (1) and value (2). */
function named(number: number, map: unknown, encode: (value: Fields) => Message): Message {
  return Object.entries(fieldsOf(map)).map(([name, value]) =>
    message(number, [text(1, name), message(2, encode(fieldsOf(value)))]),
  );
}

/** Vendor extensions carry their value as YAML text, of which JSON is a part. */
function extensions(number: number, source: Fields): Message {
  return Object.entries(source)
    .filter(([name]) => name.startsWith("x-"))
    .map(([name, value]) => message(number, [text(1, name), message(2, [text(2, JSON.stringify(value))])]));
}

function message(number: number, parts: Message): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([varint((number << 3) | LENGTH_DELIMITED), varint(body.length), body]);
}

/** A string field; nothing for an absent or empty one, as proto3 leaves defaults out. */
function text(number: number, value: unknown): Buffer {
  if (typeof value !== "string" || value === "") return Buffer.alloc(0);
  return message(number, [Buffer.from(value)]);
}

function flag(number: number): Buffer {
  return Buffer.concat([varint((number << 3) | VARINT), varint(1)]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
