/** Blocks of addresses as strings of bits: slow, and nothing to get wrong. */

/** The bits of an address before its length; of which family. */
export interface Bits {
  readonly family: 4 | 6;
  /** "0" and "1", as many as the address has. */
  readonly bits: string;
  readonly length: number;
}

/** "10.0.0.0/8", "fd00::/8"; undefined for anything else. */
export function parseAddress(text: unknown): Bits | undefined {
  if (typeof text !== "string") return undefined;
  const [address = "", length = "", ...rest] = text.split("/");
  if (rest.length > 0 || !/^\d{1,3}$/.test(length)) return undefined;
  const family = address.includes(":") ? 6 : 4;
  const bits = family === 4 ? bitsOf4(address) : bitsOf6(address);
  return bits === undefined || Number(length) > bits.length ? undefined : { family, bits, length: Number(length) };
}

export function blockContains(block: Bits, { family, bits }: Bits): boolean {
  return block.family === family && bits.startsWith(block.bits.slice(0, block.length));
}

function bitsOf4(text: string): string | undefined {
  const numbers = text.split(".");
  if (numbers.length !== 4 || !numbers.every((each) => /^(0|[1-9]\d{0,2})$/.test(each) && Number(each) < 256)) {
    return undefined;
  }
  return numbers.map((each) => Number(each).toString(2).padStart(8, "0")).join("");
}

function bitsOf6(text: string): string | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...tail];
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  return groups.map((group) => Number.parseInt(group, 16).toString(2).padStart(16, "0")).join("");
}
