/**
 * The MTU of a path: the underlay's towards that peer, less what the path puts in front of each packet, and never more
 * than what a probe has proven. See docs/design/mtu.md.
 */
import type { Family } from "../model/ip.ts";
import type { PlannedPath } from "../model/state.ts";

/** Outer Ethernet-less headers of VXLAN (RFC 7348): IP 20 or 40, UDP 8, VXLAN 8, inner Ethernet 14. */
const VXLAN_OVERHEAD_BYTES: Record<Family, number> = { 4: 50, 6: 70 };
/** The least that IPv6 can work with (RFC 8200, section 5): the kernel takes IPv6 away from a smaller device. */
export const IPV6_MINIMUM_BYTES = 1280;

/** What a path adds to each packet, bytes. */
export function pathOverheadBytes(mode: PlannedPath["mode"], outer: Family): number {
  return mode === "vxlan" ? VXLAN_OVERHEAD_BYTES[outer] : 0;
}

export interface PathMtuInput {
  readonly underlayMtuBytes: number;
  readonly overheadBytes: number;
  /** Largest packet that a probe brought through this path; absent until there was one. */
  readonly provenBytes: number | undefined;
}

/** min(planned, proven): what the path really carries, however little that is. */
export function planPathMtu(input: PathMtuInput): number {
  const planned = input.underlayMtuBytes - input.overheadBytes;
  return Math.min(planned, input.provenBytes ?? planned);
}

/** Of ten paths the widest nine have their say: see {@link planPodMtu}. */
const SHARE_OF_PATHS = 0.9;

/**
 * The MTU of every pod's device: the largest size that is safe on nine of ten paths of the node, so on all of them where
 * there are fewer than ten. There no packet of a pod depends on an ICMP message that a firewall may eat; and one broken
 * wire among many takes nothing from the others: its routes carry less, and this node tells the pods. Without peers it is
 * what the underlay carries. Pods with IPv6 get at least what IPv6 needs, also where a path carries less: that path is
 * reported (BW_PATH_MTU), the others work. See docs/design/mtu.md.
 */
export function planPodMtu(
  paths: readonly { readonly mtuBytes: number }[],
  underlayMtuBytes: number,
  limits: { readonly most?: number; readonly ipv6: boolean },
): number {
  const most = Math.min(underlayMtuBytes, limits.most ?? underlayMtuBytes);
  const safe = Math.min(most, largestSafe(paths));
  return limits.ipv6 ? Math.max(IPV6_MINIMUM_BYTES, safe) : safe;
}

/** The largest size that {@link SHARE_OF_PATHS} of the paths carry. */
function largestSafe(paths: readonly { readonly mtuBytes: number }[]): number {
  // A thousand paths have a handful of sizes.
  const counts = new Map<number, number>();
  for (const { mtuBytes } of paths) counts.set(mtuBytes, (counts.get(mtuBytes) ?? 0) + 1);
  let left = Math.ceil(paths.length * SHARE_OF_PATHS);
  for (const [bytes, count] of [...counts].sort(([a], [b]) => b - a)) {
    left -= count;
    if (left <= 0) return bytes;
  }
  return Number.POSITIVE_INFINITY;
}
