/** Network sysctls of one namespace in memory: those that the agent knows, and one of each device. */
import { BreakwaterError } from "../../model/errors.ts";
import type { Sysctl } from "../sysctl.ts";
import type { FakeNamespace } from "./namespace.ts";
import type { Supervision } from "./supervision.ts";

/** Values of a new namespace, as a Debian kernel has them. */
const DEFAULTS: ReadonlyMap<string, string> = new Map([
  ["net/ipv4/ip_forward", "0"],
  ["net/ipv4/conf/all/rp_filter", "0"],
  ["net/ipv6/conf/all/forwarding", "0"],
]);
/** Those of IPVS, and one of what it brings: there from when its module is loaded, with the kernel's own values. */
const IPVS_DEFAULTS: ReadonlyMap<string, string> = new Map([
  ["net/ipv4/vs/conntrack", "0"],
  ["net/ipv4/vs/conn_reuse_mode", "1"],
  ["net/ipv4/vs/expire_nodest_conn", "0"],
  ["net/ipv4/vs/expire_quiescent_template", "0"],
  ["net/netfilter/nf_conntrack_tcp_timeout_established", "432000"],
]);
const PER_DEVICE = /^net\/ipv[46]\/conf\/(.+)\/(disable_ipv6|forwarding|rp_filter|accept_ra|arp_ignore|arp_announce)$/;
const DEVICE_FORWARDING = /^net\/ipv4\/conf\/.+\/forwarding$/;
/** Told of by the kernel when they change (inet_netconf_notify_devconf). */
const ANNOUNCED = /^net\/ipv4\/conf\/.+\/(forwarding|rp_filter)$/;
const IP_FORWARD = "net/ipv4/ip_forward";

export function fakeSysctl(namespace: FakeNamespace, supervision: Supervision): Sysctl {
  const read = (name: string) => {
    const ofIpvs = IPVS_DEFAULTS.get(name);
    if (ofIpvs !== undefined) return namespace.ipvs.isLoaded ? (namespace.sysctls.get(name) ?? ofIpvs) : undefined;
    const device = DEFAULTS.has(name) ? undefined : PER_DEVICE.exec(name)?.[1];
    // A device forwards as the namespace does until it is told otherwise.
    const ofDevice = DEVICE_FORWARDING.test(name) ? (namespace.sysctls.get(IP_FORWARD) ?? "0") : "0";
    const isThere = device === "default" || (device !== undefined && namespace.linkNamed(device) !== undefined);
    const fallback = device === undefined ? DEFAULTS.get(name) : isThere ? ofDevice : undefined;
    return fallback === undefined ? undefined : (namespace.sysctls.get(name) ?? fallback);
  };
  return {
    read: (name) =>
      supervision.list("readSysctl", { operation: "read", object: `/proc/sys/${name}` }, () => read(name)),
    write(name, value) {
      const purpose = { operation: `set to "${value}"`, object: `/proc/sys/${name}` };
      supervision.run("writeSysctl", purpose, () => {
        if (read(name) === undefined) {
          const details = { ...purpose, errno: "ENOENT" };
          throw new BreakwaterError("BW_SYSCTL", `Cannot ${purpose.operation} ${purpose.object}: ENOENT`, details);
        }
        namespace.sysctls.set(name, value);
        // The switch for all sets every device's (inet_forward_change in the kernel's devinet.c).
        if (name === IP_FORWARD) forgetDevices(namespace);
        if (DEFAULTS.has(name)) namespace.events.emit({ type: "forwarding" });
        else if (ANNOUNCED.test(name)) {
          const index = namespace.linkNamed(PER_DEVICE.exec(name)?.[1] ?? "")?.index;
          namespace.events.emit({ type: "forwarding", index });
        }
      });
    },
  };
}

function forgetDevices(namespace: FakeNamespace): void {
  for (const key of namespace.sysctls.keys()) if (DEVICE_FORWARDING.test(key)) namespace.sysctls.delete(key);
}
