/**
 * IP addresses as canonical text: "10.244.1.5", "fd00:10:244:1::5" (RFC 5952). Text compares, sorts and prints as it
 * is, so plans and golden files stay readable; bytes and integers exist only at the edges (netlink, IPAM).
 */

/** A canonical IP address, as {@link parseIp} returns it. */
export type Ip = string;
export type Family = 4 | 6;

/** Address bits of a family: 32 or 128. */
export function familyBits(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** Family of a canonical address. Only IPv6 text holds a colon. */
export function ipFamily(ip: Ip): Family {
  return ip.includes(":") ? 6 : 4;
}

/**
 * Parses IPv4 or IPv6 text into its canonical form.
 * @throws SyntaxError naming the input
 */
export function parseIp(text: string): Ip {
  // What is read of IPv4 is canonical as it stands: there is one way to write each number.
  if (ipv4Number(text) !== undefined) return text;
  return ipFromBytes(ipBytes(text));
}

/** Canonical form of `text`, or undefined when it is no IP address. */
export function tryParseIp(text: string): Ip | undefined {
  try {
    return parseIp(text);
  } catch {
    return undefined;
  }
}

/**
 * Network-order bytes of an address, 4 or 16 of them.
 * @throws SyntaxError naming the input
 */
export function ipBytes(text: string): Uint8Array {
  const bytes = text.includes(":") ? ipv6Bytes(text) : ipv4Bytes(text);
  if (bytes === undefined) throw new SyntaxError(`Cannot parse IP address "${text}"`);
  return bytes;
}

/** Canonical text of 4 or 16 network-order bytes. @throws RangeError on any other length */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length !== 16) throw new RangeError(`Cannot read an IP address from ${bytes.length} bytes`);
  return formatIpv6(bytes);
}

export function ipToBigInt(ip: Ip): bigint {
  if (ipFamily(ip) === 4) return BigInt(ipv4ToNumber(ip));
  let value = 0n;
  for (const byte of ipBytes(ip)) value = (value << 8n) | BigInt(byte);
  return value;
}

export function ipFromBigInt(value: bigint, family: Family): Ip {
  const bytes = new Uint8Array(familyBits(family) / 8);
  let rest = value;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  if (rest !== 0n) throw new RangeError(`Address ${value} does not fit IPv${family}`);
  return ipFromBytes(bytes);
}

/** Order by family, then by number: what a sorted plan prints. */
export function compareIp(a: Ip, b: Ip): number {
  const familyOrder = ipFamily(a) - ipFamily(b);
  if (familyOrder !== 0 || a === b) return familyOrder;
  if (ipFamily(a) === 4) return ipv4ToNumber(a) - ipv4ToNumber(b);
  return Buffer.compare(ipBytes(a), ipBytes(b));
}

function ipv4Bytes(text: string): Uint8Array | undefined {
  const value = ipv4Number(text);
  if (value === undefined) return undefined;
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

/** The 32 bits of an IPv4 address. @throws SyntaxError naming the input */
export function ipv4ToNumber(text: string): number {
  const value = ipv4Number(text);
  if (value === undefined) throw new SyntaxError(`Cannot parse IP address "${text}"`);
  return value;
}

const ZERO = "0".charCodeAt(0);
const DOT = ".".charCodeAt(0);

/** The 32 bits of an IPv4 address, read digit by digit: the plan of a large cluster asks for this ten thousand times. */
function ipv4Number(text: string): number | undefined {
  let value = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (digits === 0 || dots === 3) return undefined;
      value = value * 256 + octet;
      octet = 0;
      digits = 0;
      dots++;
      continue;
    }
    const digit = code - ZERO;
    // No leading zeros: "010" is octal to some readers and decimal to others (RFC 6943, section 3.1.1).
    if (digit < 0 || digit > 9 || (digits > 0 && octet === 0)) return undefined;
    octet = octet * 10 + digit;
    if (octet > 255) return undefined;
    digits++;
  }
  return dots === 3 && digits > 0 ? value * 256 + octet : undefined;
}

function ipv6Bytes(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = ipv6Groups(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? ipv6Groups(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** Groups of one side of "::"; the last may be dotted IPv4 where the text ends there. */
function ipv6Groups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (last && i === parts.length - 1 && part.includes(".")) {
      const quad = ipv4Bytes(part);
      if (quad === undefined) return undefined;
      const [a = 0, b = 0, c = 0, d = 0] = quad;
      groups.push((a << 8) | b, (c << 8) | d);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups as "::". */
function formatIpv6(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  const run = longestZeroRun(groups);
  const hex = (list: number[]) => list.map((group) => group.toString(16)).join(":");
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let i = 0; i < groups.length; i++) {
    let length = 0;
    while (groups[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
    i += length;
  }
  return best;
}
