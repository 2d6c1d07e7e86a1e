/**
 * What of a frontend IPVS serves: its virtual server, and whether its address has to be on our dummy device. The table of
 * nftables stands in front of it with the same rules as ever (docs/design/ipvs.md): it refuses, drops and hides sources.
 */
import type { Frontend } from "../../model/frontend.ts";
import type { Ip } from "../../model/ip.ts";
import {
  IPVS_FALLBACK,
  IPVS_MARK,
  IPVS_PERSISTENT,
  type IpvsScheduler,
  type IpvsServer,
  parseFrontendKey,
} from "../../model/ipvs.ts";
import type { DesiredSysctl } from "../../model/state.ts";

/** What the plan of a frontend has to know of the node where IPVS serves. */
export interface IpvsContext {
  /** Addresses of other nodes: to have one on a device here would cut this node from that one. Sorted. */
  readonly elsewhere: readonly Ip[];
}

/**
 * How IPVS serves an address; undefined where the maps of nftables do it instead.
 * @param own addresses of this node's other devices
 */
export function ipvsManner(
  kind: Frontend["kind"],
  address: Ip,
  own: readonly Ip[],
  { elsewhere }: IpvsContext,
): { readonly bind: boolean } | undefined {
  if (kind === "NodePort" || own.includes(address)) return { bind: false };
  return elsewhere.includes(address) ? undefined : { bind: true };
}

/** Undefined where the frontend has none: it has no endpoints, or IPVS does not serve it. */
export function planIpvsServer(frontend: Frontend | undefined, scheduler: IpvsScheduler): IpvsServer | undefined {
  if (frontend?.ipvs === undefined || frontend.endpoints.length === 0) return undefined;
  const { key, affinitySeconds = 0 } = frontend;
  const persistent = affinitySeconds > 0 ? IPVS_PERSISTENT : 0;
  return { key, scheduler, flags: IPVS_MARK | persistent | schedulerFlags(scheduler), timeoutSeconds: affinitySeconds };
}

/** What a hash leads to may be on its way out, with weight 0: without this its clients would be refused. */
function schedulerFlags(scheduler: IpvsScheduler): number {
  return scheduler === "sh" || scheduler === "mh" ? IPVS_FALLBACK : 0;
}

/**
 * Whether a destination that is given up keeps its connections until they end. UDP has no end. `dh` would go on leading
 * new connections there, where they are refused.
 */
export function drains({ key, scheduler }: Pick<IpvsServer, "key" | "scheduler">): boolean {
  return parseFrontendKey(key).protocol !== "udp" && scheduler !== "dh";
}

/**
 * Neighbours must not take this node for the owner of every Service's address: it answers for the addresses of the device
 * that was asked, and names none but those as its own (arp_ignore, arp_announce of ip-sysctl.rst). IPv6 does so anyway.
 */
export function arpSettings(devices: readonly string[]): DesiredSysctl[] {
  const cause = "neighbours must not take this node for the owner of every Service's address";
  return devices.flatMap((device): DesiredSysctl[] => [
    // Higher ones are stricter.
    { name: `net/ipv4/conf/${device}/arp_ignore`, value: "1", alsoFine: ["2", "3", "8"], ifThere: true, cause },
    { name: `net/ipv4/conf/${device}/arp_announce`, value: "2", ifThere: true, cause },
  ]);
}

/**
 * Settings without which Services are not served right (Documentation/networking/ipvs-sysctl.rst). A kernel that lacks one
 * behaves as asked for, or is too old to.
 */
export function ipvsSettings(kernelRelease: string): DesiredSysctl[] {
  const reuse = connReuseMode(kernelRelease);
  const set = (name: string, value: string, cause: string): DesiredSysctl => {
    return { name: `net/ipv4/vs/${name}`, value, ifThere: true, cause };
  };
  return [
    set("conntrack", "1", "connection tracking follows what IPVS translates: masquerading, policies, answers"),
    set("expire_nodest_conn", "1", "a connection to a destination that is gone ends with its next packet"),
    set("expire_quiescent_template", "1", "a client with affinity leaves a destination of weight 0"),
    ...(reuse === undefined
      ? []
      : [set("conn_reuse_mode", reuse, "a client's port that is used again, by this kernel's version")]),
  ];
}

/**
 * What a client's port that is used again gets. Since Linux 5.9 mode 1 schedules anew without losing the first SYN (commit
 * f0a5e4d7a594); with 0 it would go to destinations of weight 0 (kubernetes#81775). Before, 1 cost a second for each such
 * connection (kubernetes#70747).
 * @param release as `uname -r` says it
 */
export function connReuseMode(release: string): "0" | "1" | undefined {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  if (major === undefined) return undefined;
  const version = Number(major) * 1000 + Number(minor);
  if (version >= 5009) return "1";
  return version >= 4001 ? "0" : undefined;
}
