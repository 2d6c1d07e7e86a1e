/** Asks the kernel for a scheduler before the first Service needs it: without one it would refuse them all. */
import type { Ipvs } from "../../kernel/genetlink/ipvs.ts";
import { isNotFound } from "../../kernel/netlink/error.ts";
import { BreakwaterError, isBreakwaterError } from "../../model/errors.ts";
import { IPVS_MARK, type IpvsScheduler } from "../../model/ipvs.ts";

/** An address that nobody has (RFC 5737), and the discard service's port. */
const NOBODY = "192.0.2.1 . tcp . 9";

/**
 * Makes a virtual server that nobody can reach, which loads the scheduler's module, and deletes it.
 * @throws BreakwaterError BW_IPVS_SCHEDULER when the kernel has no such scheduler
 */
export function checkScheduler(ipvs: Ipvs, scheduler: IpvsScheduler): void {
  const server = { key: NOBODY, scheduler, flags: IPVS_MARK, timeoutSeconds: 0 };
  const [refused, kept] = ipvs.applyMany([
    { do: "addServer", server },
    { do: "deleteServer", key: NOBODY },
  ]);
  if (refused !== undefined && isNotFound(refused)) throw noScheduler(scheduler, refused);
  // One that a killed agent left behind goes with the second step.
  if (refused !== undefined && !(isBreakwaterError(refused) && refused.errno === "EEXIST")) throw refused;
  if (kept !== undefined) throw kept;
}

function noScheduler(scheduler: string, cause: Error): BreakwaterError {
  return new BreakwaterError("BW_IPVS_SCHEDULER", `The kernel has no IPVS scheduler "${scheduler}"`, {
    operation: "find",
    object: `IPVS scheduler ${scheduler}`,
    errno: "ENOENT",
    cause,
    remedy: `Bring it in: modprobe ip_vs_${scheduler}, or build the kernel with CONFIG_IP_VS_${scheduler.toUpperCase()}; or choose another: --ipvs-scheduler rr`,
  });
}
