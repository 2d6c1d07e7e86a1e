/** A machine of the lab: a network namespace with rtnetlink and sysctls of its own. */
import { join } from "node:path";
import { createNamespace, inNamespaceAt } from "../../kernel/netns.ts";
import { openRouteTable } from "../../kernel/rtnetlink/route-socket.ts";
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import { procSysctl } from "../../kernel/sysctl.ts";
import type { Ip } from "../../model/ip.ts";

export interface LabHost {
  readonly name: string;
  /** Path of its namespace. */
  readonly netns: string;
  readonly routes: RouteTable;
  /** Runs synchronous code inside. */
  run<T>(body: () => T): T;
  sysctl(name: string, value: string): void;
}

export function createHost(folder: string, name: string): LabHost {
  const netns = join(folder, name);
  createNamespace(netns);
  const run = <T>(body: () => T): T => inNamespaceAt(netns, body);
  const routes = run(() => openRouteTable());
  const host = {
    name,
    netns,
    routes,
    run,
    sysctl: (key: string, value: string) => run(() => procSysctl.write(key, value)),
  };
  setUp(host, "lo");
  return host;
}

export function linkIndex(host: LabHost, name: string): number {
  const link = host.routes.link(name);
  if (link === undefined) throw new ReferenceError(`Lab host ${host.name} has no link ${name}`);
  return link.index;
}

export function setUp(host: LabHost, link: string): void {
  host.routes.changeLink(linkIndex(host, link), { up: true });
}

/** Addresses a link and brings it up; IPv6 without waiting for duplicate address detection. */
export function configureLink(
  host: LabHost,
  link: string,
  addresses: readonly { readonly address: Ip; readonly length: number }[],
): void {
  const index = linkIndex(host, link);
  host.routes.changeLink(index, { up: true });
  for (const { address, length } of addresses) host.routes.addAddress({ index, address, length, noDad: true });
}

/** rtm_protocol "static": the lab's own routes are an administrator's, not Breakwater's. */
const RTPROT_STATIC = 4;

export function addDefaultRoutes(host: LabHost, link: string, gateways: readonly Ip[]): void {
  const oif = linkIndex(host, link);
  for (const gateway of gateways) {
    const destination = gateway.includes(":") ? "::/0" : "0.0.0.0/0";
    host.routes.setRoute({ destination, gateway, oif, protocol: RTPROT_STATIC });
  }
}
