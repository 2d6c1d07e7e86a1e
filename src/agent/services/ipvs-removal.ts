/** Takes our virtual servers and the device with the addresses of Services away at once: nobody serves here any more. */
import type { Ipvs } from "../../kernel/genetlink/ipvs.ts";
import type { VirtualServer } from "../../kernel/genetlink/ipvs-messages.ts";
import { isNotFound } from "../../kernel/netlink/error.ts";
import { IPVS_MARK } from "../../model/ipvs.ts";
import { IPVS_DEVICE } from "../../model/marks.ts";
import type { Log } from "../log.ts";
import type { IpvsKernel } from "./ipvs-services.ts";

/** Virtual servers with our mark. */
export function ourServers(ipvs: Pick<Ipvs, "virtualServers">): VirtualServer[] {
  return ipvs.virtualServers().filter(({ server }) => server !== undefined && (server.flags & IPVS_MARK) !== 0);
}

/** Services are left to another proxy, who may be waiting for their addresses. @throws BreakwaterError BW_NETLINK */
export function dropIpvs({ openIpvs, routes }: IpvsKernel, log: Log): void {
  using ipvs = openIpvs();
  const servers = ipvs === undefined ? [] : ourServers(ipvs);
  const changes = servers.map(({ server }) => ({ do: "deleteServer" as const, key: server?.key ?? "" }));
  for (const error of ipvs?.applyMany(changes) ?? []) if (error !== undefined && !isNotFound(error)) throw error;
  const link = routes.link(IPVS_DEVICE);
  if (link !== undefined) routes.deleteLink(link.index);
  if (servers.length === 0 && link === undefined) return;
  log.info({ virtualServers: servers.length }, "Services are left to another proxy; our virtual servers are removed");
}
