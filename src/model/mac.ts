/** MAC addresses as lower-case text: "02:62:77:00:00:01". */
import { hash } from "node:crypto";
import { type Ip, ipFromBytes } from "./ip.ts";

export type Mac = string;

/** @throws SyntaxError naming the input */
export function parseMac(text: string): Mac {
  if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text)) throw new SyntaxError(`Cannot parse MAC address "${text}"`);
  return text.toLowerCase();
}

export function macBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(":"), (part) => Number.parseInt(part, 16));
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Netlink's events are full of them: this is called some ten times for a pod that comes or goes. */
export function macFromBytes(bytes: Uint8Array): Mac {
  let text = "";
  for (const byte of bytes) text += text === "" ? HEX[byte] : `:${HEX[byte]}`;
  return text;
}

/** The link-local address that IPv6 gives a device: fe80:: and the MAC as EUI-64 (RFC 4291, appendix A). */
export function linkLocalIp(mac: Mac): Ip {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macBytes(mac);
  // The universal/local bit is inverted.
  return ipFromBytes(Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]));
}

/**
 * A MAC that depends on `seed` alone, so that it survives reboots and restarts and every node can compute every
 * other node's. Locally administered and unicast (IEEE 802: bit 1 of the first octet set, bit 0 clear).
 */
export function deriveMac(seed: string): Mac {
  const bytes = Buffer.from(hash("sha256", seed), "hex").subarray(0, 6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return macFromBytes(bytes);
}
