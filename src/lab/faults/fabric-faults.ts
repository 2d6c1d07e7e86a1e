/** Faults of the fabric's routers and of their sessions, in a lab with --routing bgp and several subnets. */
import { BreakwaterError } from "../../model/errors.ts";
import type { NftRule } from "../../model/nft.ts";
import { type Fabric, rackOf } from "../fabric/fabric.ts";
import { nodeSessions } from "../fabric/objects.ts";
import type { FabricNeighbor, Rack } from "../fabric/plan.ts";
import type { Router } from "../fabric/router.ts";
import { changeNeighbors, resetSession } from "../fabric/sessions.ts";
import type { FaultKind, FaultSurroundings, FaultTarget } from "./fault.ts";
import { filterTable, withTable } from "./nft-table.ts";

interface RackPlace {
  readonly fabric: Fabric;
  readonly rack: Rack;
  readonly router: Router;
  /** Of the router with the node. */
  readonly sessions: readonly FabricNeighbor[];
}

/** The top-of-rack router of a node. @throws BreakwaterError BW_REFUSED in a lab without a fabric */
export function rackPlace({ node }: FaultTarget, { fabric }: FaultSurroundings): RackPlace {
  const rack = fabric && rackOf(fabric.plan, node);
  const router = rack && fabric?.routers.get(rack.name);
  if (fabric === undefined || rack === undefined || router === undefined) {
    throw new BreakwaterError("BW_REFUSED", "This lab has no routers that speak BGP", {
      remedy: "Bring the lab up with --routing bgp --subnets 2",
    });
  }
  return { fabric, rack, router, sessions: nodeSessions(rack, node) };
}

export const sessionReset: FaultKind = {
  name: "session-reset",
  summary: "The rack's router resets its sessions with the node; they come back by themselves within seconds",
  add: async (target, around) => {
    const { router, sessions } = rackPlace(target, around);
    for (const session of sessions) await resetSession(router, session);
    return { description: `${router.name} reset its sessions with ${target.node}` };
  },
};

/** An AS number that nobody here has (RFC 6996: for private use). */
const WRONG_AS = 64999;

export const wrongAs: FaultKind = {
  name: "wrong-as",
  summary: "The rack's router takes the node for one of another AS: no session, and both sides say why (Bad Peer AS)",
  parameters: { as: String(WRONG_AS) },
  subject: "neighbour of the rack's router",
  add: async (target, around) => {
    const asNumber = Number(target.parameters["as"]);
    if (!Number.isInteger(asNumber) || asNumber < 1 || asNumber > 0xffff_fffe) {
      throw new BreakwaterError("BW_USAGE", `"${target.parameters["as"]}" is no AS number from 1 to 4294967294`);
    }
    const { router, undo } = await misconfigure(target, around, { asNumber });
    return { description: `${router} takes ${target.node} for one of AS ${asNumber}`, undo };
  },
};

export const wrongPassword: FaultKind = {
  name: "wrong-password",
  summary: "The rack's router expects another password of the node: the kernel drops each other's segments, no session",
  subject: "neighbour of the rack's router",
  add: async (target, around) => {
    const { router, undo } = await misconfigure(target, around, { password: "not-the-one-of-the-secret" });
    return { description: `${router} expects another password of ${target.node}`, undo };
  },
};

async function misconfigure(
  target: FaultTarget,
  around: FaultSurroundings,
  change: Partial<FabricNeighbor>,
): Promise<{ router: string; undo: () => Promise<void> }> {
  const { router, sessions } = rackPlace(target, around);
  await changeNeighbors(
    router,
    sessions.map((session) => ({ ...session, ...change })),
  );
  return { router: router.name, undo: () => changeNeighbors(router, sessions) };
}

/** RFC 5881: sessions over one hop; RFC 5883: over several. */
const BFD_PORTS = [3784, 4784];
const IPPROTO_UDP = 17;

export const bfdSilence: FaultKind = {
  name: "bfd-silence",
  summary:
    "BFD packets between the node and its router are lost, nothing else: where BFD watches it the session ends within a second, and comes back without its watch",
  add: async (target, around) => {
    const { router } = rackPlace(target, around);
    const { node } = target;
    const drop = (field: "meta iifname" | "meta oifname", port: number): NftRule => ({
      statements: [
        { match: field, op: "==", value: node },
        { match: "meta l4proto", op: "==", value: IPPROTO_UDP },
        { match: "th dport", op: "==", value: port },
        { counter: true },
        { verdict: "drop" },
      ],
    });
    const rules = BFD_PORTS.flatMap((port) => [drop("meta iifname", port), drop("meta oifname", port)]);
    const table = filterTable(`bfd-${node}`, "bridge", "forward", rules);
    return {
      description: `BFD between ${node} and ${router.name} is silent`,
      undo: withTable(around.underlay.fabric, table),
    };
  },
};
