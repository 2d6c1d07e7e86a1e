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

export interface MssClampPlan {
  /** For the chain of type nat, hook postrouting: only the packets that open a connection pass it. */
  readonly opening: readonly NftRule[];
  readonly chains: readonly NftChain[];
}

/**
 * The tunnel's connections are always clamped; those over the underlay's device where a direct path was proven to carry
 * less than the device.
 *
 * A chain in the hook forward sees every packet of every connection, for the sake of two: that is 4 % of what a packet
 * through the tunnel costs (docs/adr/0007-mss-clamp.md). Where the pods' devices are no larger than their paths, the
 * first SYN is enough: of the two ends' sizes the smaller one counts, and the other end's pod announces what fits. So
 * the rules stand where only first packets pass, for nothing. Where pods' devices are larger than a path, or no other
 * chain of type nat is there, each SYN and SYN-ACK is looked at on its way.
 */
export function planMssClamp(paths: readonly PlannedPath[], podMtuBytes: number, hasNatChain: boolean): MssClampPlan {
  const devices = new Set(paths.filter(isNarrow).map(({ device }) => device));
  const rules = [...devices].sort().flatMap((device) => [
    clampRule("meta oifname", device, "to"),
    // The answer's MSS limits what pods here may send.
    clampRule("meta iifname", device, "from"),
  ]);
  const isLarger = paths.some(({ mode, mtuBytes }) => mode !== "none" && mtuBytes < podMtuBytes);
  if (rules.length === 0) return { opening: [], chains: [] };
  if (hasNatChain && !isLarger) return { opening: rules, chains: [] };
  const base = { type: "filter", hook: "forward", priority: PRIORITY_MANGLE, policy: "accept" } as const;
  return { opening: [], chains: [{ name: "mss", base, rules }] };
}

function isNarrow({ mode, mtuBytes, underlayMtuBytes, overheadBytes }: PlannedPath): boolean {
  return mode === "vxlan" || (mode !== "none" && mtuBytes < underlayMtuBytes - overheadBytes);
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
