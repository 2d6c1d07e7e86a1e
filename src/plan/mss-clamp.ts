/**
 * TCP connections over a path that carries less than the pods' devices are told so when they open: the MSS option of
 * their first segments is lowered to what the route carries. They need no ICMP then, not even from this node. Without
 * this a net would be missing where the path is narrower than its ends know.
 */
import type { NftChain, NftRule } from "../model/nft.ts";
import type { PlannedPath } from "../model/state.ts";

/** NF_IP_PRI_MANGLE: where nft's "mangle" is. Before any filter, so that nobody's verdict depends on it. */
const PRIORITY_MANGLE = -150;
const TCP = 6;

/**
 * One chain for the devices with such a path: always the tunnel, and the underlay's where a direct path was proven to
 * carry less than the device. Only packets that this node forwards for pods pass it.
 */
export function planMssClamp(paths: readonly PlannedPath[]): NftChain[] {
  const devices = new Set(paths.filter(isNarrow).map(({ device }) => device));
  if (devices.size === 0) return [];
  const rules = [...devices].sort().flatMap((device) => [
    clampRule("meta oifname", device, "to"),
    // The answer's MSS limits what pods here may send.
    clampRule("meta iifname", device, "from"),
  ]);
  const base = { type: "filter", hook: "forward", priority: PRIORITY_MANGLE, policy: "accept" } as const;
  return [{ name: "mss", base, rules }];
}

function isNarrow({ mode, mtuBytes, underlayMtuBytes, overheadBytes }: PlannedPath): boolean {
  return mode === "vxlan" || (mode === "direct" && mtuBytes < underlayMtuBytes - overheadBytes);
}

function clampRule(match: "meta oifname" | "meta iifname", device: string, direction: string): NftRule {
  return {
    statements: [
      { match, op: "==", value: device },
      { match: "meta l4proto", op: "==", value: TCP },
      { tcpSyn: true },
      { clampMss: true },
    ],
    comment: `TCP ${direction} narrower paths opens with an MSS that fits`,
  };
}
