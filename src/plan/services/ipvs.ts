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

/** A setting of the kernel that serving through IPVS depends on. */
export interface IpvsSetting {
  /** With slashes: `net/ipv4/vs/conntrack`. */
  readonly name: string;
  readonly value: string;
  /** A larger value does, too. @default false */
  readonly atLeast?: boolean;
}

/**
 * Neighbours must not take this node for the owner of every Service's address: it answers for the addresses of the device
 * that was asked, and names none but those as its own (arp_ignore, arp_announce of ip-sysctl.rst). IPv6 does so anyway.
 */
export function arpSettings(devices: readonly string[]): IpvsSetting[] {
  return devices.flatMap((device) => [
    { name: `net/ipv4/conf/${device}/arp_ignore`, value: "1", atLeast: true },
    { name: `net/ipv4/conf/${device}/arp_announce`, value: "2", atLeast: true },
  ]);
}

/** Settings without which Services are not served right (Documentation/networking/ipvs-sysctl.rst). */
export function ipvsSettings(kernelRelease: string): IpvsSetting[] {
  const reuse = connReuseMode(kernelRelease);
  return [
    // Connection tracking follows what IPVS translates: masquerading, policies and replies need it.
    { name: "net/ipv4/vs/conntrack", value: "1" },
    // A connection to a destination that is gone ends with its next packet, which opens a new one.
    { name: "net/ipv4/vs/expire_nodest_conn", value: "1" },
    // A client with affinity leaves a destination of weight 0 with its next connection.
    { name: "net/ipv4/vs/expire_quiescent_template", value: "1" },
    ...(reuse === undefined ? [] : [{ name: "net/ipv4/vs/conn_reuse_mode", value: reuse }]),
  ];
}

/**
 * What a client's port that is used again gets. Since Linux 5.9 mode 1 schedules anew without losing the first SYN
 * (f0a5e4d7a594); with 0 it would go to destinations of weight 0. Before, 1 cost a second for each such connection
 * (kubernetes#81775).
 * @param release as `uname -r` says it
 */
export function connReuseMode(release: string): "0" | "1" | undefined {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  if (major === undefined) return undefined;
  const version = Number(major) * 1000 + Number(minor);
  if (version >= 5009) return "1";
  return version >= 4001 ? "0" : undefined;
}
