/** The `bytes` parameter of faults that change a size: --size BYTES on the command line. */
import { BreakwaterError } from "../../model/errors.ts";

/** The least MTU that every IPv4 host must be able to receive (RFC 791); the lab makes nothing smaller. */
export const LEAST_MTU_BYTES = 576;
/** The least MTU of IPv6 (RFC 8200); the kernel takes IPv6 away from a smaller device. */
export const LEAST_IPV6_MTU_BYTES = 1280;
/** The largest MTU of a veth pair: an IP packet cannot be larger (ETH_MAX_MTU). */
export const LARGEST_MTU_BYTES = 65535;

export interface SizeBounds {
  readonly least?: number;
  readonly most?: number;
  /** What the bounds come from, and how to keep them. */
  readonly remedy: string;
}

/** @throws BreakwaterError BW_USAGE naming the value and the bounds */
export function sizeParameter(parameters: Readonly<Record<string, string>>, bounds: SizeBounds): number {
  const { least = LEAST_MTU_BYTES, most = LARGEST_MTU_BYTES, remedy } = bounds;
  const text = parameters["bytes"] ?? "";
  const bytes = Number(text);
  if (/^\d+$/.test(text) && bytes >= least && bytes <= most) return bytes;
  throw new BreakwaterError("BW_USAGE", `bytes="${text}" is no MTU from ${least} to ${most}`, { remedy });
}
