/**
 * Addresses a pod asks for: by the annotation `breakwater.dev/ip` or by the `ips` capability of CNI (runtimeConfig.ips).
 * It gets exactly those or the ADD fails. Both may be there as long as they agree; a family that only one of them names
 * is taken from that one.
 */
import { BreakwaterError } from "../model/errors.ts";
import { type Ip, ipFamily, tryParseIp } from "../model/ip.ts";

export const IP_ANNOTATION = "breakwater.dev/ip";

interface Source {
  /** How messages name it. */
  readonly name: string;
  readonly texts: readonly string[];
}

/**
 * The addresses asked for, at most one a family, IPv4 first.
 * @throws BreakwaterError BW_IPAM_REQUEST
 */
export function parseRequestedIps(annotation: string | undefined, capability: readonly string[]): readonly Ip[] {
  const annotated = parseSource({ name: `annotation ${IP_ANNOTATION}`, texts: splitAnnotation(annotation) });
  const given = parseSource({ name: "capability ips (runtimeConfig.ips)", texts: capability });
  for (const ip of annotated) {
    const other = given.find((candidate) => ipFamily(candidate) === ipFamily(ip));
    if (other !== undefined && other !== ip) {
      throw refused(`annotation ${IP_ANNOTATION} asks for ${ip} and capability ips for ${other}`);
    }
  }
  return [...new Set([...given, ...annotated])].sort((a, b) => ipFamily(a) - ipFamily(b));
}

/** An annotation that is there but empty asks for nothing anybody can give: it is refused below as unparsable. */
function splitAnnotation(annotation: string | undefined): readonly string[] {
  return annotation === undefined ? [] : annotation.split(",");
}

function parseSource(source: Source): readonly Ip[] {
  const ips = source.texts.map((text) => parseOne(text.trim(), source.name));
  for (const [i, ip] of ips.entries()) {
    const earlier = ips.slice(0, i).find((other) => ipFamily(other) === ipFamily(ip));
    if (earlier !== undefined) {
      throw refused(
        `${source.name} asks for two IPv${ipFamily(ip)} addresses, ${earlier} and ${ip}; a pod has one a family`,
      );
    }
  }
  return ips;
}

/** An address, or an address with a prefix length, which the `ips` capability allows and which says nothing here. */
function parseOne(text: string, source: string): Ip {
  const [address = "", length, ...rest] = text.split("/");
  const ip = tryParseIp(address);
  const bits = ip !== undefined && ipFamily(ip) === 6 ? 128 : 32;
  const wellFormed = length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= bits);
  if (ip === undefined || !wellFormed || rest.length > 0)
    throw refused(`${source} holds "${text}", which is no IP address`);
  return ip;
}

function refused(message: string): BreakwaterError {
  return new BreakwaterError("BW_IPAM_REQUEST", `Cannot give the requested address: ${message}`, {
    operation: "allocate address",
    remedy: "correct the request and create the pod again",
  });
}
