/** All of this kernel that serving through IPVS needs, in the calling thread's network namespace. */
import { release } from "node:os";
import { loadIpvs, openIpvs } from "./genetlink/ipvs.ts";
import { openRouteTable } from "./rtnetlink/route-socket.ts";
import { procSysctl } from "./sysctl.ts";

export function openIpvsKernel() {
  return { openIpvs, loadIpvs, routes: openRouteTable(), sysctl: procSysctl, release: release() };
}
