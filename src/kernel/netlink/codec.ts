/**
 * The typed codec: a family describes its header and attributes once, as a table of name -> number and type, and gets
 * an encoder, a decoder and the TypeScript type from it. The tables stand in the order of the kernel's headers.
 */
import { type Ip, ipBytes, ipFromBytes } from "../../model/ip.ts";
import { type Mac, macBytes, macFromBytes } from "../../model/mac.ts";
import type { MessageWriter } from "./message-writer.ts";

/** How one kind of value is written and read. */
export interface Codec<T> {
  write(writer: MessageWriter, value: T): void;
  read(bytes: Buffer): T;
  readonly nested?: boolean;
  /** Payload sizes that can be read; an attribute of any other size counts as absent. */
  readonly fits?: (size: number) => boolean;
}

const atLeast = (needed: number) => (size: number) => size >= needed;

export const u8: Codec<number> = { write: (w, v) => w.u8(v), read: (b) => b.readUInt8(0), fits: atLeast(1) };
export const u16: Codec<number> = { write: (w, v) => w.u16(v), read: (b) => b.readUInt16LE(0), fits: atLeast(2) };
export const u16be: Codec<number> = { write: (w, v) => w.u16be(v), read: (b) => b.readUInt16BE(0), fits: atLeast(2) };
export const u32: Codec<number> = { write: (w, v) => w.u32(v), read: (b) => b.readUInt32LE(0), fits: atLeast(4) };
export const s32: Codec<number> = { write: (w, v) => w.s32(v), read: (b) => b.readInt32LE(0), fits: atLeast(4) };
export const u32be: Codec<number> = { write: (w, v) => w.u32be(v), read: (b) => b.readUInt32BE(0), fits: atLeast(4) };
export const u64be: Codec<bigint> = {
  write: (w, v) => w.u64be(v),
  read: (b) => b.readBigUInt64BE(0),
  fits: atLeast(8),
};
export const bytes: Codec<Uint8Array> = { write: (w, v) => w.raw(v), read: (b) => Buffer.from(b) };
export const ip: Codec<Ip> = {
  write: (w, v) => w.raw(ipBytes(v)),
  read: (b) => ipFromBytes(b),
  fits: (size) => size === 4 || size === 16,
};
export const mac: Codec<Mac> = { write: (w, v) => w.raw(macBytes(v)), read: (b) => macFromBytes(b) };

/** Text; the kernel ends it with NUL in most places, and where it does not the whole payload is the text. */
export const text: Codec<string> = {
  write: (w, v) => w.cstring(v),
  read: (b) => {
    const end = b.indexOf(0);
    return b.toString("utf8", 0, end < 0 ? b.length : end);
  },
};

export type AttributeTable = Readonly<Record<string, readonly [type: number, codec: Codec<never>]>>;
type ValueOf<C> = C extends Codec<infer T> ? T : never;
/** The value type of a table: every attribute may be absent. */
export type AttributesOf<T> = {
  -readonly [K in keyof T]?: T[K] extends readonly [number, infer C] ? ValueOf<C> : never;
};

/** A table of attributes as a codec; also usable as a nested attribute's type. */
export interface AttributesCodec<T> extends Codec<AttributesOf<T>> {
  readonly nested: true;
}

// biome-ignore lint/suspicious/noExplicitAny: the table's value types are recovered by AttributesOf
type AnyTable = Readonly<Record<string, readonly [type: number, codec: Codec<any>]>>;

export function attributes<const T extends AnyTable>(table: T): AttributesCodec<T> {
  const byType = new Map(Object.entries(table).map(([name, [type, codec]]) => [type, { name, codec }]));
  return {
    nested: true,
    write(writer, values) {
      // The caller's order is kept: some kernel parsers (nft expressions) care, none dislikes it.
      for (const [name, value] of Object.entries(values)) {
        const entry = table[name];
        if (value === undefined || entry === undefined) continue;
        writer.attribute(entry[0], () => entry[1].write(writer, value), entry[1].nested === true);
      }
    },
    read(buffer) {
      const values: Record<string, unknown> = {};
      // A link's message has fifty attributes, of which a table names ten: only those are cut out.
      walkAttributes(buffer, (type, start, end) => {
        const entry = byType.get(type);
        if (entry === undefined) return;
        const payload = buffer.subarray(start, end);
        if (fits(entry.codec, payload)) values[entry.name] = entry.codec.read(payload);
      });
      return values as AttributesOf<T>;
    },
  };
}

/** A list: nested attributes that all have the same type number (or, from the kernel, a running index). */
export function listOf<T>(type: number, element: Codec<T>): Codec<readonly T[]> {
  return {
    nested: true,
    write(writer, values) {
      for (const value of values) {
        writer.attribute(type, () => element.write(writer, value), element.nested === true);
      }
    },
    read: (buffer) =>
      Array.from(eachAttribute(buffer), ([, payload]) => payload)
        .filter((payload) => fits(element, payload))
        .map((payload) => element.read(payload)),
  };
}

function fits(codec: Codec<unknown>, payload: Buffer): boolean {
  return codec.fits?.(payload.length) ?? true;
}

/** Type and payload of each attribute, up to the first malformed one. */
export function eachAttribute(buffer: Buffer): [type: number, payload: Buffer][] {
  const attributes: [number, Buffer][] = [];
  walkAttributes(buffer, (type, start, end) => attributes.push([type, buffer.subarray(start, end)]));
  return attributes;
}

/**
 * Walks the attributes between two offsets: type, and where the payload begins and ends. Stops at the first malformed one,
 * as the kernel's nla_for_each does.
 */
export function walkAttributes(
  buffer: Buffer,
  visit: (type: number, start: number, end: number) => void,
  from = 0,
  to = buffer.length,
): void {
  let offset = from;
  while (offset + 4 <= to) {
    const size = buffer.readUInt16LE(offset);
    if (size < 4 || offset + size > to) return;
    // The two top bits are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
    visit(buffer.readUInt16LE(offset + 2) & 0x3fff, offset + 4, offset + size);
    offset += (size + 3) & ~3;
  }
}

type ScalarName = "u8" | "u16" | "u16be" | "u32" | "s32" | "u32be";

interface Scalar {
  readonly size: number;
  readonly write: (writer: MessageWriter, value: number) => void;
  readonly read: (buffer: Buffer, offset: number) => number;
}

const scalars: Record<ScalarName, Scalar> = {
  u8: { size: 1, write: u8.write, read: (b, at) => b.readUInt8(at) },
  u16: { size: 2, write: u16.write, read: (b, at) => b.readUInt16LE(at) },
  u16be: { size: 2, write: u16be.write, read: (b, at) => b.readUInt16BE(at) },
  u32: { size: 4, write: u32.write, read: (b, at) => b.readUInt32LE(at) },
  s32: { size: 4, write: s32.write, read: (b, at) => b.readInt32LE(at) },
  u32be: { size: 4, write: u32be.write, read: (b, at) => b.readUInt32BE(at) },
};

/** A fixed header, fields in order without gaps (pad fields are named like the kernel's). */
export interface StructCodec<K extends string> {
  readonly size: number;
  write(writer: MessageWriter, values: Partial<Record<K, number>>): void;
  read(buffer: Buffer): Record<K, number>;
}

export function struct<K extends string>(fields: Readonly<Record<K, ScalarName>>): StructCodec<K> {
  const entries = Object.entries(fields) as [K, ScalarName][];
  const size = entries.reduce((sum, [, name]) => sum + scalars[name].size, 0);
  return {
    size,
    write(writer, values) {
      for (const [field, name] of entries) scalars[name].write(writer, values[field] ?? 0);
    },
    read(buffer) {
      // A header that is cut short reads as zeros from there: no family, no index, nothing that anybody looks for.
      const whole = buffer.length < size ? Buffer.concat([buffer, Buffer.alloc(size - buffer.length)]) : buffer;
      const values = {} as Record<K, number>;
      let offset = 0;
      for (const [field, name] of entries) {
        values[field] = scalars[name].read(whole, offset);
        offset += scalars[name].size;
      }
      return values;
    },
  };
}

/** A message family's body: fixed header, then attributes. */
export interface MessageCodec<K extends string, T> {
  write(writer: MessageWriter, header: Partial<Record<K, number>>, values: AttributesOf<T>): void;
  read(payload: Buffer): { header: Record<K, number>; values: AttributesOf<T> };
}

export function message<K extends string, T>(header: StructCodec<K>, body: AttributesCodec<T>): MessageCodec<K, T> {
  const start = (header.size + 3) & ~3;
  return {
    write(writer, headerValues, values) {
      header.write(writer, headerValues);
      writer.align();
      body.write(writer, values);
    },
    read: (payload) => ({ header: header.read(payload), values: body.read(payload.subarray(start)) }),
  };
}
