/** What an address that packets are sent to may not be (ValidateNonSpecialIP of pkg/apis/core/validation). */
import { type Ip, tryParseIp } from "../../../model/ip.ts";

const SPECIAL: readonly (readonly [RegExp, string])[] = [
  [/^(?:0\.0\.0\.0|::)$/, "may not be unspecified (0.0.0.0 or ::)"],
  [/^(?:127\.|::1$)/, "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
  [/^(?:169\.254\.|fe[89ab].:)/, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
  [/^(?:224\.0\.0\.|ff.2:)/, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
];

/** What is wrong with a canonical address as a place that traffic goes to; undefined when nothing is. */
export function specialIpFault(ip: Ip): string | undefined {
  return SPECIAL.find(([pattern]) => pattern.test(ip))?.[1];
}

/** The same of any text. */
export function destinationIpFault(text: string): string | undefined {
  const ip = tryParseIp(text);
  return ip === undefined ? "must be a valid IP address" : specialIpFault(ip);
}
