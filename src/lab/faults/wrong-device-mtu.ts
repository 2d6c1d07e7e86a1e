/** Devices that are given a wrong MTU, and given back the one they had: unless somebody put it right meanwhile. */
import { inNamespaceAt, namespaceExists } from "../../kernel/netns.ts";
import { openRouteTable } from "../../kernel/rtnetlink/route-socket.ts";
import type { Link, RouteTable } from "../../kernel/rtnetlink/types.ts";

/**
 * Sets the MTU of a device. @param set how, where changing the device alone is not enough
 * @returns what gives the former MTU back; nothing happens then where the namespace or the device is gone, or where the
 * device has another MTU than this one: who changed it knew better
 */
export function setWrongMtu(
  netns: string,
  device: string,
  mtuBytes: number,
  set: (routes: RouteTable, link: Link, mtuBytes: number) => void = setMtu,
): () => void {
  const before = inRoutes(netns, (routes) => {
    const link = routes.link(device);
    if (link !== undefined) set(routes, link, mtuBytes);
    return link?.mtuBytes;
  });
  return () => {
    if (before === undefined || !namespaceExists(netns)) return;
    inRoutes(netns, (routes) => {
      const link = routes.link(device);
      if (link?.mtuBytes === mtuBytes) set(routes, link, before);
    });
  };
}

function setMtu(routes: RouteTable, { index }: Link, mtuBytes: number): void {
  routes.changeLink(index, { mtuBytes });
}

export function inRoutes<T>(netns: string, body: (routes: RouteTable) => T): T {
  return inNamespaceAt(netns, () => {
    using routes = openRouteTable();
    return body(routes);
  });
}
