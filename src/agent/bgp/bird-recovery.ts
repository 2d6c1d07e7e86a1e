/**
 * When a BIRD that came back may have the kernel again. Until then its kernel protocols are off, and the routes of the one
 * before stay. BIRD's own wait (`-R`, RFC 4724) is too short: for a peer that itself started within its restart time, as FRR
 * says of its first two minutes, it does not wait at all, and deletes what that peer is about to tell it again.
 */
import { type Clock, pause } from "../../kube/clock.ts";
import type { Route } from "../../model/kernel-objects.ts";
import type { Prefix } from "../../model/prefix.ts";
import type { NextHops } from "../../plan/bgp/verify.ts";
import { nextHopsOf } from "./bgp-verifier.ts";
import type { BirdControl } from "./bird-control.ts";
import { parseRoutes } from "./bird-routes.ts";
import { parseProtocols } from "./bird-status.ts";
import { isRefusal } from "./reply-reader.ts";

export interface RecoveryOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** BIRD's routes that the kernel has. */
  readonly routes: () => readonly Route[];
}

const LOOK_MS = 100;
/** With all sessions there for so long, what is still missing was withdrawn: FRR gathers routes for a second. */
const TOLD_MS = 5000;
/** As long as BIRD itself would wait for a peer that does not come (`graceful restart wait`). */
const RECOVERY_MS = 60_000;

/**
 * Resolves when BIRD knows all that the kernel has again, or nobody is left who could tell it.
 * @throws BreakwaterError BW_BGP_CONTROL when BIRD does not answer
 */
export async function recovered(control: BirdControl, { clock, signal, routes }: RecoveryOptions): Promise<void> {
  const until = clock.now() + RECOVERY_MS;
  let toldBy = Number.POSITIVE_INFINITY;
  while (!signal.aborted && clock.now() < Math.min(until, toldBy)) {
    if (await knowsAll(control, routes())) return;
    const areEstablished = await allEstablished(control);
    if (!areEstablished) toldBy = Number.POSITIVE_INFINITY;
    else if (toldBy === Number.POSITIVE_INFINITY) toldBy = clock.now() + TOLD_MS;
    await pause(clock, LOOK_MS, signal);
  }
}

/** Each next hop of each of the kernel's routes was told by some peer. */
async function knowsAll(control: BirdControl, kernel: readonly Route[]): Promise<boolean> {
  const known = new Map<Prefix, NextHops>();
  for (const table of ["master4", "master6"]) {
    const reply = await control.command(`show route table ${table} where source = RTS_BGP`);
    if (isRefusal(reply)) continue;
    for (const [prefix, hops] of parseRoutes(reply)) known.set(prefix, hops);
  }
  return kernel.every((route) => {
    const hops = known.get(route.destination);
    return hops !== undefined && nextHopsOf(route).every((hop) => hops.includes(hop));
  });
}

async function allEstablished(control: BirdControl): Promise<boolean> {
  const protocols = parseProtocols(await control.command("show protocols all"));
  return protocols.every(({ kind, bgpState }) => kind !== "BGP" || bgpState === "Established");
}

/** An agent that went left BIRD waiting. */
export async function kernelWaits(control: BirdControl): Promise<boolean> {
  const protocols = parseProtocols(await control.command("show protocols"));
  return protocols.some(({ kind, state }) => kind === "Kernel" && state === "down");
}
