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
const ATTRIBUTE_HEADER_BYTES = 4;

export class MessageWriter {
  #buffer: Buffer;
  /** The same bytes, for what is written with every attribute: much cheaper than Buffer's methods, which check ranges. */
  #view: DataView;
  #length = 0;
  #messageStart = 0;

  constructor(capacityBytes = 4096) {
    this.#buffer = Buffer.alloc(capacityBytes);
    this.#view = viewOf(this.#buffer);
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
    this.#view.setUint16(this.#messageStart + 4, type, true);
    this.#view.setUint16(this.#messageStart + 6, flags, true);
    this.#view.setUint32(this.#messageStart + 8, sequence, true);
  }

  /** Adds NLM_F_ flags to the message that was begun last. */
  flagMessage(flags: number): void {
    const at = this.#messageStart + 6;
    this.#view.setUint16(at, this.#view.getUint16(at, true) | flags, true);
  }

  endMessage(): void {
    this.#view.setUint32(this.#messageStart, this.#length - this.#messageStart, true);
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
    this.#view.setUint32(at, value, true);
  }

  s32(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeInt32LE(value, at);
  }

  u32be(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value);
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
    const start = this.openAttribute(type, nested);
    body();
    this.closeAttribute(start);
  }

  /** The same without a function for the payload, where there are a hundred thousand. @returns what closes it */
  openAttribute(type: number, nested = false): number {
    const start = this.#reserve(ATTRIBUTE_HEADER_BYTES);
    this.#view.setUint16(start + 2, nested ? type | NLA_F_NESTED : type, true);
    return start;
  }

  /** @throws RangeError past 64 KiB */
  closeAttribute(start: number): void {
    const size = this.#length - start;
    if (size > MAX_ATTRIBUTE_BYTES) {
      const type = this.#view.getUint16(start + 2, true) & ~NLA_F_NESTED;
      throw new RangeError(`Netlink attribute ${type} is ${size} bytes, more than 65535`);
    }
    this.#view.setUint16(start, size, true);
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
      this.#view = viewOf(larger);
    }
    this.#length = start + size;
    return start;
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Buffer): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
