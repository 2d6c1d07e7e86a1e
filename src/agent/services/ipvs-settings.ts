/** Settings of the kernel that serving through IPVS depends on: read, compared, put right. */
import { isOurLink } from "../../model/marks.ts";
import { arpSettings, type IpvsSetting, ipvsSettings } from "../../plan/services/ipvs.ts";
import type { IpvsKernel } from "./ipvs-services.ts";

export interface ReadSetting extends IpvsSetting {
  /** Undefined where the kernel has no such setting: it behaves as asked for, or is too old to. */
  readonly found: string | undefined;
  readonly isRight: boolean;
}

/** All that count, as they are now. @throws BreakwaterError */
export function readSettings({
  routes,
  sysctl,
  release,
}: Pick<IpvsKernel, "routes" | "sysctl" | "release">): ReadSetting[] {
  return [...ipvsSettings(release), ...arpSettings(arpDevices(routes))].map((setting) => {
    const found = sysctl.read(setting.name);
    return { ...setting, found, isRight: found === undefined || isRight(setting, found) };
  });
}

/** A higher value of ARP's is stricter. */
function isRight({ value, atLeast }: IpvsSetting, found: string): boolean {
  return found === value || (atLeast === true && Number(found) > Number(value));
}

/** Devices on which neighbours ask for addresses of this node: those that have one of IPv4 and are not ours. */
function arpDevices(routes: IpvsKernel["routes"]): string[] {
  const withAddress = new Set(
    routes
      .addresses()
      .flatMap(({ index, address, scope }) => (address.includes(":") || scope !== "global" ? [] : [index])),
  );
  const links = routes.links().filter(({ index, name }) => withAddress.has(index) && !isOurLink(name) && name !== "lo");
  return links.flatMap(({ name, kind }) => (kind === "dummy" ? [] : [name])).sort();
}
