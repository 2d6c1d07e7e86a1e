/** Asks the kernel and BIRD for their routes and compares them with the API. */
import type { RouteTable } from "../../kernel/rtnetlink/types.ts";
import type { BgpPlan } from "../../model/bgp.ts";
import type { BgpVerification } from "../../model/bgp-verification.ts";
import { messageOf } from "../../model/errors.ts";
import { compareIp, type Family } from "../../model/ip.ts";
import type { Route } from "../../model/kernel-objects.ts";
import type { Prefix } from "../../model/prefix.ts";
import type { DesiredState } from "../../model/state.ts";
import { compareAccounts, type NextHops } from "../../plan/bgp/verify.ts";
import { bgpRoutes } from "./bird-cleanup.ts";
import { parseRoutes } from "./bird-routes.ts";
import type { BirdReply } from "./reply-reader.ts";

export interface VerifierInput {
  readonly nodeName: string;
  readonly plan: BgpPlan | undefined;
  readonly state: Pick<DesiredState, "paths"> | undefined;
  readonly routes: Pick<RouteTable, "routes">;
  /** Undefined while BIRD does not run. */
  readonly ask: (command: string) => Promise<BirdReply | undefined>;
}

export async function verifyBgp({ nodeName, plan, state, routes, ask }: VerifierInput): Promise<BgpVerification> {
  const failed = (failure: string): BgpVerification => ({ node: nodeName, failure, prefixes: 0, differences: [] });
  if (plan === undefined || state === undefined) return failed("BGP is not planned yet");
  const bird = new Map<Prefix, NextHops>();
  try {
    for (const family of [4, 6] as const satisfies readonly Family[]) {
      const reply = await ask(`show route export kernel${family}`);
      if (reply === undefined) return failed("BIRD does not run");
      // A family that nobody uses has no such protocol, and BIRD says so.
      for (const [prefix, hops] of parseRoutes(reply)) bird.set(prefix, hops);
    }
  } catch (error) {
    return failed(messageOf(error));
  }
  const kernel = new Map(bgpRoutes(routes).map((route) => [route.destination, nextHopsOf(route)]));
  const differences = compareAccounts({ paths: state.paths, bird, kernel });
  return { node: nodeName, failure: null, prefixes: bird.size, differences };
}

/** Sorted; none of a route that leads nowhere. */
export function nextHopsOf({ type, gateway, nextHops: several = [] }: Route): NextHops {
  if (type !== "unicast") return [];
  if (gateway !== undefined) return [gateway];
  return several.flatMap((hop) => hop.gateway ?? []).sort(compareIp);
}
