/**
 * IPVS mode: virtual servers and the device kube-ipvs0 with the addresses of Services. A virtual server is kube-proxy's when
 * its address is on that device, or when its port is in one of kube-proxy's sets of NodePorts; others may use IPVS too.
 * Servers go first: without the device and the sets they could not be told any more.
 */
import { IPVS_MARK } from "../../model/ipvs.ts";
import {
  countsOf,
  isNodePortIpset,
  KUBE_PROXY_LINK,
  type KubeProxyCounts,
  type KubeProxyFinding,
  type KubeProxyKind,
} from "../../model/kube-proxy.ts";
import { type Ipvs, openIpvs } from "../genetlink/ipvs.ts";
import { formatServer, type VirtualServer } from "../genetlink/ipvs-messages.ts";
import { isNotFound } from "../netlink/error.ts";
import type { IpsetPort } from "../nfnetlink/ipset-socket.ts";
import { openRouteTable } from "../rtnetlink/route-socket.ts";
import type { RouteTable } from "../rtnetlink/types.ts";
import { type OpenIpsets, openKernelIpsets } from "./ipset.ts";
import type { KubeProxyPart } from "./types.ts";

export interface IpvsSources {
  readonly openRoutes: () => RouteTable;
  /** Undefined where the kernel has no IPVS. */
  readonly openIpvs: () => Ipvs | undefined;
  readonly openIpsets: OpenIpsets;
}

const kernelSources: IpvsSources = { openRoutes: openRouteTable, openIpvs, openIpsets: openKernelIpsets };

export class IpvsPart implements KubeProxyPart {
  readonly kind: KubeProxyKind = "ipvs";
  readonly #sources: IpvsSources;

  /** Of the namespace that the calling thread is in when a method is called. */
  constructor(sources: IpvsSources = kernelSources) {
    this.#sources = sources;
  }

  find(): KubeProxyFinding | undefined {
    using routes = this.#sources.openRoutes();
    using ipvs = this.#sources.openIpvs();
    const { link, servers } = this.#own(routes, ipvs);
    if (link === undefined && servers.length === 0) return undefined;
    return {
      kind: this.kind,
      counts: countsOf({ "virtual servers": servers.length, links: link === undefined ? 0 : 1 }),
      kept: [],
      fingerprint: [link?.index ?? "", ...servers.map(formatServer).sort()].join(),
    };
  }

  remove(): KubeProxyCounts {
    using routes = this.#sources.openRoutes();
    using ipvs = this.#sources.openIpvs();
    const { link, servers } = this.#own(routes, ipvs);
    const gone = servers.filter((server) => unlessAbsent(() => ipvs?.deleteVirtualServer(server))).length;
    const links = link !== undefined && unlessAbsent(() => routes.deleteLink(link.index)) ? 1 : 0;
    return countsOf({ "virtual servers": gone, links });
  }

  #own(routes: RouteTable, ipvs: Ipvs | undefined) {
    const link = routes.link(KUBE_PROXY_LINK);
    const all = ipvs?.virtualServers() ?? [];
    if (all.length === 0) return { link, servers: [] };
    const onLink = routes.addresses().filter(({ index }) => index === link?.index);
    const addresses = new Set(onLink.map(({ address }) => address));
    const nodePorts = this.#nodePorts();
    return { link, servers: all.filter((server) => isOwn(server, addresses, nodePorts)) };
  }

  #nodePorts(): NodePort[] {
    using ipsets = this.#sources.openIpsets();
    if (ipsets === undefined) return [];
    const names = ipsets.sets().flatMap(({ name }) => (isNodePortIpset(name) ? [name] : []));
    return names.flatMap((name) => {
      // A set of ports alone has its protocol in its name.
      const named = { TCP: 6, UDP: 17, SCTP: 132 }[/-(TCP|UDP|SCTP)(-HASH)?$/.exec(name)?.[1] ?? ""];
      return ipsets.ports(name).map((port) => ({ ...port, protocol: port.protocol ?? named }));
    });
  }
}

type NodePort = Omit<IpsetPort, "protocol"> & { readonly protocol: number | undefined };

function isOwn(
  { address, port, protocol, server }: VirtualServer,
  addresses: ReadonlySet<string>,
  nodePorts: readonly NodePort[],
): boolean {
  if (address === undefined || port === undefined) return false;
  // Where we serve through IPVS, too, it is ours by now.
  if (server !== undefined && (server.flags & IPVS_MARK) !== 0) return false;
  if (addresses.has(address)) return true;
  return nodePorts.some((range) => range.protocol === protocol && range.first <= port && port <= range.last);
}

/** @returns false when it was gone */
function unlessAbsent(body: () => void): boolean {
  try {
    body();
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
