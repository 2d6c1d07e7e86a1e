/** Network sysctls of one namespace in memory: those that the agent knows, and one of each device. */
import { BreakwaterError } from "../../model/errors.ts";
import type { Sysctl } from "../sysctl.ts";
import type { FakeNamespace } from "./namespace.ts";
import type { Supervision } from "./supervision.ts";

/** Values of a new namespace, as a Debian kernel has them. */
const DEFAULTS: ReadonlyMap<string, string> = new Map([
  ["net/ipv4/ip_forward", "0"],
  ["net/ipv6/conf/all/forwarding", "0"],
]);
const PER_DEVICE = /^net\/ipv6\/conf\/(.+)\/disable_ipv6$/;

export function fakeSysctl(namespace: FakeNamespace, supervision: Supervision): Sysctl {
  const read = (name: string) => {
    const device = PER_DEVICE.exec(name)?.[1];
    const fallback = device === undefined ? DEFAULTS.get(name) : namespace.linkNamed(device) && "0";
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
        if (DEFAULTS.has(name)) namespace.events.emit({ type: "forwarding" });
      });
    },
  };
}
