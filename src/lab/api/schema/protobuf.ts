/**
 * Decodes the protobuf form of built-in objects into JSON: what kubectl's typed commands (`create namespace`, `drain`)
 * and Go programs send. Answers are always JSON, which all of them accept.
 *
 * Envelope: "k8s\0", then runtime.Unknown (k8s.io/apimachinery/pkg/runtime/generated.proto).
 */
import type { Fields } from "../object/object.ts";
import { badRequest } from "../object/status.ts";
import type { Schema } from "./schema.ts";

const MAGIC = Buffer.from("k8s\0");

/** @throws StatusError 400 for anything that is no such message */
export function decodeProtobuf(
  body: Buffer,
  schemaOf: (apiVersion: string, kind: string) => Schema | undefined,
): Fields {
  if (!body.subarray(0, 4).equals(MAGIC))
    throw badRequest("the protobuf body does not start with the magic bytes of Kubernetes");
  try {
    const unknown = readMessage(body.subarray(4));
    const type = readMessage(bytesOf(unknown, 1));
    const apiVersion = bytesOf(type, 1).toString();
    const kind = bytesOf(type, 2).toString();
    const schema = schemaOf(apiVersion, kind);
    if (schema === undefined)
      throw badRequest(
        `no kind ${JSON.stringify(kind)} is known in version ${JSON.stringify(apiVersion)} for a protobuf body`,
      );
    return { apiVersion, kind, ...decodeObject(readMessage(bytesOf(unknown, 2)), schema, "") };
  } catch (error) {
    if (error instanceof RangeError) throw badRequest(`the protobuf body is broken: ${error.message}`);
    throw error;
  }
}

type Value = bigint | Buffer;
/** Values of a message by field number, in order. */
type Message = Map<number, Value[]>;

/** Wire types: protobuf.dev/programming-guides/encoding. */
function readMessage(buffer: Buffer): Message {
  const message: Message = new Map();
  let position = 0;
  while (position < buffer.length) {
    const key = readVarint(buffer, position);
    const { value, next } = readValue(buffer, key.next, Number(key.value & 7n));
    const number = Number(key.value >> 3n);
    const values = message.get(number) ?? [];
    values.push(value);
    message.set(number, values);
    position = next;
  }
  return message;
}

function readValue(buffer: Buffer, position: number, wireType: number): { value: Value; next: number } {
  if (wireType === 0) return readVarint(buffer, position);
  if (wireType === 1) return { value: slice(buffer, position, 8), next: position + 8 };
  if (wireType === 5) return { value: slice(buffer, position, 4), next: position + 4 };
  if (wireType !== 2) throw new RangeError(`wire type ${wireType} at byte ${position}`);
  const length = readVarint(buffer, position);
  const size = Number(length.value);
  return { value: slice(buffer, length.next, size), next: length.next + size };
}

function slice(buffer: Buffer, start: number, size: number): Buffer {
  if (start + size > buffer.length)
    throw new RangeError(`a field of ${size} bytes at byte ${start} ends behind the body`);
  return buffer.subarray(start, start + size);
}

function readVarint(buffer: Buffer, start: number): { value: bigint; next: number } {
  let value = 0n;
  // Ten bytes hold 64 bits.
  for (let i = 0; i < 10; i++) {
    const byte = buffer[start + i];
    if (byte === undefined) throw new RangeError(`a number at byte ${start} ends behind the body`);
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return { value: BigInt.asIntN(64, value), next: start + i + 1 };
  }
  throw new RangeError(`a number at byte ${start} is longer than 64 bits`);
}

function bytesOf(message: Message, number: number): Buffer {
  const value = message.get(number)?.at(-1);
  return value instanceof Buffer ? value : Buffer.alloc(0);
}

/** `prefix` is the path of a message that JSON has inline. */
function decodeObject(message: Message, schema: Schema, prefix: string): Fields {
  const result: Fields = {};
  for (const [number, values] of message) {
    const path = `${prefix}${number}`;
    const name = schema.numbers?.get(path);
    const field = name === undefined ? undefined : schema.fields?.get(name);
    if (name !== undefined && field !== undefined) {
      const value = decodeField(values, field);
      if (value !== undefined) result[name] = value;
    } else if (hasInline(schema, path)) {
      Object.assign(result, decodeObject(readMessage(bytesOf(message, number)), schema, `${path}.`));
    }
  }
  return result;
}

function hasInline(schema: Schema, path: string): boolean {
  for (const number of schema.numbers?.keys() ?? []) if (number.startsWith(`${path}.`)) return true;
  return false;
}

function decodeField(values: readonly Value[], schema: Schema): unknown {
  const { items } = schema;
  if (schema.type === "list" && items !== undefined) return values.map((value) => decodeValue(value, items));
  if (schema.type === "map" && items !== undefined)
    return Object.fromEntries(values.map((value) => mapEntry(value, items)));
  const value = decodeValue(values.at(-1) ?? Buffer.alloc(0), schema);
  // Go writes fields that JSON leaves out when they are empty.
  return value === "" ? undefined : value;
}

function mapEntry(value: Value, items: Schema): [string, unknown] {
  const entry = readMessage(buffer(value));
  const content = entry.get(2)?.at(-1) ?? Buffer.alloc(0);
  return [bytesOf(entry, 1).toString(), decodeValue(content, items)];
}

function buffer(value: Value): Buffer {
  if (value instanceof Buffer) return value;
  throw new RangeError("a number where a message is expected");
}

function decodeValue(value: Value, schema: Schema): unknown {
  switch (schema.type) {
    case "object":
      return decodeObject(readMessage(buffer(value)), schema, "");
    case "integer":
    case "number":
      return typeof value === "bigint" ? Number(value) : undefined;
    case "boolean":
      return typeof value === "bigint" ? value !== 0n : undefined;
    case "quantity":
      return bytesOf(readMessage(buffer(value)), 1).toString();
    case "int-or-string":
      return decodeIntOrString(readMessage(buffer(value)));
    case "any":
      return decodeRaw(bytesOf(readMessage(buffer(value)), 1));
    default:
      return decodeText(buffer(value), schema.format);
  }
}

/** IntOrString { type = 1 (0: int, 1: string), intVal = 2, strVal = 3 }. */
function decodeIntOrString(message: Message): unknown {
  if (message.get(1)?.at(-1) === 1n) return bytesOf(message, 3).toString();
  return Number(message.get(2)?.at(-1) ?? 0n);
}

/** FieldsV1 and RawExtension carry JSON text. */
function decodeRaw(raw: Buffer): unknown {
  if (raw.length === 0) return undefined;
  try {
    return JSON.parse(raw.toString());
  } catch {
    throw new RangeError("embedded JSON that does not parse");
  }
}

function decodeText(bytes: Buffer, format: string | undefined): string | undefined {
  if (format === "byte") return bytes.toString("base64");
  if (format !== "date-time") return bytes.toString();
  // Time { seconds = 1, nanos = 2 }; the zero time is an empty message.
  if (bytes.length === 0) return undefined;
  const message = readMessage(bytes);
  const seconds = Number(message.get(1)?.at(-1) ?? 0n);
  const nanos = Number(message.get(2)?.at(-1) ?? 0n);
  const text = new Date(seconds * 1000).toISOString().slice(0, 19);
  return nanos === 0 ? `${text}Z` : `${text}.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`;
}
