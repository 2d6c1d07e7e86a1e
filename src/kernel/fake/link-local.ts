/** The address that IPv6 gives every device that comes up: fe80:: and the MAC as EUI-64 (RFC 4291, appendix A). */
import { ipFromBytes } from "../../model/ip.ts";
import type { Address } from "../../model/kernel-objects.ts";
import { type Mac, macBytes } from "../../model/mac.ts";

export function linkLocalAddress(index: number, mac: Mac): Address {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macBytes(mac);
  // The universal/local bit is inverted.
  const eui64 = [a ^ 0x02, b, c, 0xff, 0xfe, d, e, f];
  const address = ipFromBytes(Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, ...eui64]));
  return { index, address, length: 64, scope: "link" };
}
