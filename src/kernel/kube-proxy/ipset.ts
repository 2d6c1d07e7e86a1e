/** kube-proxy's sets of ip_set: IPVS mode. They go last: rules of iptables that use them have to be gone. */
import { isBreakwaterError } from "../../model/errors.ts";
import {
  countsOf,
  isKubeProxyIpset,
  type KubeProxyCounts,
  type KubeProxyFinding,
  type KubeProxyKind,
} from "../../model/kube-proxy.ts";
import { hasIpsets, type Ipset, type Ipsets, openIpsets } from "../nfnetlink/ipset-socket.ts";
import type { KubeProxyPart } from "./types.ts";

/** Undefined where the kernel has no ip_set. */
export type OpenIpsets = () => Ipsets | undefined;

export const openKernelIpsets: OpenIpsets = () => (hasIpsets() ? openIpsets() : undefined);

export class IpsetPart implements KubeProxyPart {
  readonly kind: KubeProxyKind = "ipset";
  readonly #open: OpenIpsets;

  /** Of the namespace that the calling thread is in when a method is called. */
  constructor(open: OpenIpsets = openKernelIpsets) {
    this.#open = open;
  }

  find(): KubeProxyFinding | undefined {
    using ipsets = this.#open();
    const own = ownSets(ipsets);
    if (own.length === 0) return undefined;
    const used = own.filter(({ references }) => references > 0);
    return {
      kind: this.kind,
      counts: countsOf({ sets: own.length - used.length }),
      kept: used.map(({ name, references }) => `ipset ${name}, used by ${references} rules or sets`),
      fingerprint: own.map(({ name }) => name).join(),
    };
  }

  remove(): KubeProxyCounts {
    using ipsets = this.#open();
    if (ipsets === undefined) return {};
    const free = ownSets(ipsets).filter(({ references }) => references === 0);
    return countsOf({ sets: free.filter(({ name }) => destroy(ipsets, name)).length });
  }
}

function ownSets(ipsets: Ipsets | undefined): Ipset[] {
  return (ipsets?.sets() ?? []).filter(({ name }) => isKubeProxyIpset(name));
}

/** @returns false when it was gone */
function destroy(ipsets: Ipsets, name: string): boolean {
  try {
    ipsets.destroy(name);
    return true;
  } catch (error) {
    if (isBreakwaterError(error) && error.errno === "ENOENT") return false;
    throw error;
  }
}
