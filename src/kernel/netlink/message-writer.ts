/**
 * A growing buffer of netlink messages: each a 16-byte nlmsghdr (include/uapi/linux/netlink.h), a fixed family header
 * and attributes, everything aligned to 4 bytes. Several messages in one buffer go to the kernel in one send().
 * Netlink is host byte order; every machine this runs on (x86-64, arm64) is little-endian.
 */

/** Length field of an attribute is 16 bits wide. */
const MAX_ATTRIBUTE_BYTES = 0xffff;
/** Set on attributes that hold attributes. */
const NLA_F_NESTED = 0x8000;
const HEADER_BYTES = 16;

export class MessageWriter {
  #buffer: Buffer;
  #length = 0;
  #messageStart = 0;

  constructor(capacityBytes = 4096) {
    this.#buffer = Buffer.alloc(capacityBytes);
  }

  get length(): number {
    return this.#length;
  }

  /** The bytes so far. Valid until the next write. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  reset(): void {
    this.#buffer.fill(0, 0, this.#length);
    this.#length = 0;
  }

  /** Opens a message; `endMessage` must follow before the next one. */
  beginMessage(type: number, flags: number, sequence: number): void {
    this.#messageStart = this.#length;
    this.#reserve(HEADER_BYTES);
    this.#buffer.writeUInt16LE(type, this.#messageStart + 4);
    this.#buffer.writeUInt16LE(flags, this.#messageStart + 6);
    this.#buffer.writeUInt32LE(sequence >>> 0, this.#messageStart + 8);
  }

  /** Adds NLM_F_ flags to the message that was begun last. */
  flagMessage(flags: number): void {
    const at = this.#messageStart + 6;
    this.#buffer.writeUInt16LE(this.#buffer.readUInt16LE(at) | flags, at);
  }

  endMessage(): void {
    this.#buffer.writeUInt32LE(this.#length - this.#messageStart, this.#messageStart);
    this.align();
  }

  u8(value: number): void {
    const at = this.#reserve(1);
    this.#buffer.writeUInt8(value, at);
  }

  u16(value: number): void {
    const at = this.#reserve(2);
    this.#buffer.writeUInt16LE(value, at);
  }

  u16be(value: number): void {
    const at = this.#reserve(2);
    this.#buffer.writeUInt16BE(value, at);
  }

  u32(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeUInt32LE(value >>> 0, at);
  }

  s32(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeInt32LE(value, at);
  }

  u32be(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeUInt32BE(value >>> 0, at);
  }

  u64be(value: bigint): void {
    const at = this.#reserve(8);
    this.#buffer.writeBigUInt64BE(value, at);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#buffer.set(bytes, at);
  }

  /** Zero-terminated text, as netlink carries names. */
  cstring(text: string): void {
    const size = Buffer.byteLength(text) + 1;
    const at = this.#reserve(size);
    this.#buffer.write(text, at);
  }

  /** One attribute; `body` writes its payload. @throws RangeError past 64 KiB, which netlink cannot express */
  attribute(type: number, body: () => void, nested = false): void {
    const start = this.#reserve(4);
    this.#buffer.writeUInt16LE(nested ? type | NLA_F_NESTED : type, start + 2);
    body();
    const size = this.#length - start;
    if (size > MAX_ATTRIBUTE_BYTES) throw new RangeError(`Netlink attribute ${type} is ${size} bytes, more than 65535`);
    this.#buffer.writeUInt16LE(size, start);
    this.align();
  }

  align(): void {
    const padding = (4 - (this.#length & 3)) & 3;
    if (padding > 0) this.#reserve(padding);
  }

  /** Grows by `size` zero bytes and returns where they start. The buffer may be another one afterwards. */
  #reserve(size: number): number {
    const start = this.#length;
    if (start + size > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#buffer.length * 2, start + size));
      this.#buffer.copy(larger, 0, 0, start);
      this.#buffer = larger;
    }
    this.#length = start + size;
    return start;
  }
}
