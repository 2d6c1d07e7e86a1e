/** Settings of the kernel that serving through IPVS depends on: read, compared, put right. */
import type { Ipvs } from "../../kernel/genetlink/ipvs.ts";
import { isOurLink } from "../../model/marks.ts";
import type { DesiredSysctl } from "../../model/state.ts";
import { arpSettings, ipvsSettings } from "../../plan/services/ipvs.ts";
import type { IpvsKernel } from "./ipvs-services.ts";

export interface ReadSetting extends DesiredSysctl {
  /** Undefined where the kernel has no such setting. */
  readonly found: string | undefined;
  readonly isRight: boolean;
}

export interface SettingsInput extends Pick<IpvsKernel, "release"> {
  readonly routes: Pick<IpvsKernel["routes"], "addresses" | "links">;
}

/** All that count on this node. @throws BreakwaterError */
export function nodeSettings({ routes, release }: SettingsInput): DesiredSysctl[] {
  return [...ipvsSettings(release), ...arpSettings(arpDevices(routes))];
}

/** The same, as they are now. @throws BreakwaterError */
export function readSettings(kernel: Pick<IpvsKernel, "routes" | "sysctl" | "release">): ReadSetting[] {
  return nodeSettings(kernel).map((setting) => {
    const { name, value, alsoFine } = setting;
    const found = kernel.sysctl.read(name);
    const isRight = found === undefined || found === value || alsoFine?.includes(found) === true;
    return { ...setting, found, isRight };
  });
}

/** Devices on which neighbours ask for addresses of this node: those that have one of IPv4 and are not ours. */
function arpDevices(routes: SettingsInput["routes"]): string[] {
  const withAddress = new Set(
    routes
      .addresses()
      .flatMap(({ index, address, scope }) => (address.includes(":") || scope !== "global" ? [] : [index])),
  );
  const links = routes.links().filter(({ index, name }) => withAddress.has(index) && !isOurLink(name) && name !== "lo");
  return links.flatMap(({ name, kind }) => (kind === "dummy" ? [] : [name])).sort();
}

/** As long as connection tracking remembers a silent connection. */
const CONNTRACK_TIMEOUT = "net/netfilter/nf_conntrack_tcp_timeout_established";

/**
 * IPVS forgets a silent TCP connection after 15 minutes, and resets it then; the maps keep it for as long as connection
 * tracking does. What it has is raised to that, for all virtual servers of the node: it is no sysctl, but a setting.
 * @returns undefined where it is long enough
 * @throws BreakwaterError
 */
export function missingTimeout(
  ipvs: Pick<Ipvs, "tcpTimeout"> | undefined,
  sysctl: Pick<IpvsKernel["sysctl"], "read">,
): { readonly seconds: number; readonly previous: number } | undefined {
  const seconds = Number(sysctl.read(CONNTRACK_TIMEOUT) ?? 0);
  const previous = ipvs?.tcpTimeout();
  return previous === undefined || previous >= seconds ? undefined : { seconds, previous };
}
