/** kube-proxy's state in the kernel of the calling thread's network namespace, whole. */
import { IpsetPart } from "./ipset.ts";
import { IptablesLegacyPart } from "./iptables-legacy.ts";
import { IptablesNftPart } from "./iptables-nft.ts";
import { IpvsPart } from "./ipvs.ts";
import { NftTablePart } from "./nft-table.ts";
import type { KubeProxyPart } from "./types.ts";

/**
 * All parts, in the order in which they go: rules before the sets that they use, virtual servers before the sets by which
 * they are told. Nothing is opened before a part is asked.
 */
export function openKubeProxyParts(): KubeProxyPart[] {
  return [new IptablesNftPart(), new IptablesLegacyPart(), new NftTablePart(), new IpvsPart(), new IpsetPart()];
}
