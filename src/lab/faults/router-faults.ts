/** Faults of a router as a whole: it dies, its wires flap, it announces what it should not. */
import { setImmediate as otherWork } from "node:timers/promises";
import { BreakwaterError } from "../../model/errors.ts";
import { ipFromBigInt, ipToBigInt } from "../../model/ip.ts";
import type { NewRoute } from "../../model/kernel-objects.ts";
import type { Router } from "../fabric/router.ts";
import { type LabHost, linkIndex } from "../underlay/host.ts";
import { rackPlace } from "./fabric-faults.ts";
import type { FaultKind, FaultSurroundings, FaultTarget } from "./fault.ts";
import { filterTable, removeTable, replaceTable } from "./nft-table.ts";

/** The rack's router of the node, or with `--set router=NAME` another one. */
function chosenRouter(target: FaultTarget, around: FaultSurroundings): { router: Router; host: LabHost } {
  const { fabric, router: own } = rackPlace(target, around);
  const name = target.parameters["router"] === "" ? own.name : (target.parameters["router"] ?? own.name);
  const [router, host] = [fabric.routers.get(name), around.underlay.routers.get(name)];
  if (router !== undefined && host !== undefined) return { router, host };
  throw new BreakwaterError("BW_USAGE", `The lab has no router "${name}"`, {
    remedy: `It has ${[...fabric.routers.keys()].join(", ")}`,
  });
}

/** Two nodes of a rack have one router, and it dies once. */
const strikesRouter: FaultKind["strikes"] = (target, around) => chosenRouter(target, around).router.name;

export const routerKill: FaultKind = {
  name: "router-kill",
  summary:
    "The rack's router, or --set router=NAME, dies as with its power: nothing passes it, nothing comes from it. Nodes lose what it announced (with BFD within a second, else after the hold time), and get it back when it is cleared",
  parameters: { router: "" },
  strikes: strikesRouter,
  add: async (target, around) => {
    const { router, host } = chosenRouter(target, around);
    const dead = (["prerouting", "output"] as const).flatMap(
      (hook) => filterTable("power", "inet", hook, [{ statements: [{ verdict: "drop" }] }]).chains,
    );
    const table = { family: "inet", name: "power", sets: [], chains: dead } as const;
    // First silent: the ends of its daemons' connections are heard by nobody.
    replaceTable(host, table);
    await router.hold();
    const undo = async () => {
      removeTable(host, table);
      router.start();
    };
    return { description: `${router.name} is dead`, undo };
  },
};

const LEAST_PERIOD_MS = 100;

export const linkFlap: FaultKind = {
  name: "link-flap",
  summary:
    "The node's switch port goes down and up again and again; with --set link=spine a wire between its router and the spine does, and the other wire carries on",
  parameters: { link: "node", downMs: "500", upMs: "2500" },
  add: async (target, around) => {
    const { host, device } = flappingLink(target, around);
    const [downMs, upMs] = [periodOf(target, "downMs"), periodOf(target, "upMs")];
    const index = linkIndex(host, device);
    let timer: NodeJS.Timeout;
    const set = (up: boolean) => {
      host.routes.changeLink(index, { up });
      timer = setTimeout(() => set(!up), up ? upMs : downMs);
    };
    set(false);
    return {
      description: `${device} of ${host.name} is down for ${downMs} ms of each ${downMs + upMs} ms`,
      undo: async () => {
        clearTimeout(timer);
        host.routes.changeLink(index, { up: true });
      },
    };
  },
};

function flappingLink(target: FaultTarget, around: FaultSurroundings): { host: LabHost; device: string } {
  const { link } = target.parameters;
  if (link === "node") return { host: around.underlay.fabric, device: target.node };
  const { fabric, rack } = rackPlace(target, around);
  const wire = fabric.plan.wires.find((each) => each.rack === rack.name);
  const host = around.underlay.routers.get(rack.name);
  if (link === "spine" && wire !== undefined && host !== undefined) return { host, device: wire.rackDevice };
  throw new BreakwaterError("BW_USAGE", `There is no link "${link}"`, { remedy: "It is node or spine" });
}

function periodOf({ parameters }: FaultTarget, name: string): number {
  const value = Number(parameters[name]);
  if (Number.isInteger(value) && value >= LEAST_PERIOD_MS && value <= 600_000) return value;
  throw new BreakwaterError("BW_USAGE", `${name}=${parameters[name]} is no number of milliseconds from 100 to 600000`);
}

/** Networks for measurements (RFC 2544): nobody's pods, nobody's Services. */
const FLOOD_NETWORK = "198.18.0.0";
const MOST_FLOOD = 1 << 17;
/** As an administrator's: the router announces those. */
const RTPROT_STATIC = 4;
/** So many at once, then others' work. */
const BATCH = 250;

export const prefixFlood: FaultKind = {
  name: "prefix-flood",
  summary:
    "The rack's router announces thousands of prefixes inside 198.18.0.0/15: nodes refuse them, or where importAllow lets them in stop at the peer's limit; sessions and pods' traffic stay",
  parameters: { prefixes: "20000", router: "" },
  strikes: strikesRouter,
  subject: "routes of a router",
  add: async (target, around) => {
    const count = Number(target.parameters["prefixes"]);
    if (!Number.isInteger(count) || count < 1 || count > MOST_FLOOD) {
      throw new BreakwaterError(
        "BW_USAGE",
        `prefixes=${target.parameters["prefixes"]} is none from 1 to ${MOST_FLOOD}`,
      );
    }
    const first = ipToBigInt(FLOOD_NETWORK);
    const destinations = Array.from({ length: count }, (_, i) => `${ipFromBigInt(first + BigInt(i), 4)}/32`);
    const { router, undo } = await leak(target, around, destinations);
    return { description: `${router} announces ${count} prefixes`, undo };
  },
};

export const defaultRouteLeak: FaultKind = {
  name: "default-route-leak",
  summary: "The rack's router announces a default route: no node takes it, breakwater bgp tells that it was refused",
  parameters: { router: "" },
  strikes: strikesRouter,
  add: async (target, around) => {
    const { router, undo } = await leak(target, around, ["0.0.0.0/0"]);
    return { description: `${router} announces a default route`, undo };
  },
};

/** GoBGP is told of each by its command. */
const MOST_OF_GOBGP = 100;

/** Routes that lead nowhere, in the router's kernel: FRR announces what an administrator put there. GoBGP is told. */
async function leak(
  target: FaultTarget,
  around: FaultSurroundings,
  destinations: readonly string[],
): Promise<{ router: string; undo: () => Promise<void> }> {
  const { router, host } = chosenRouter(target, around);
  if (router.plan.software === "gobgp") return announceByGobgp(router, destinations);
  const each = async (change: (route: NewRoute) => void) => {
    for (const [i, destination] of destinations.entries()) {
      change({ destination, type: "blackhole", protocol: RTPROT_STATIC });
      if (i % BATCH === BATCH - 1) await otherWork();
    }
  };
  await each((route) => host.routes.setRoute(route));
  return { router: router.name, undo: () => each((route) => host.routes.deleteRoute(route)) };
}

async function announceByGobgp(
  router: Router,
  destinations: readonly string[],
): Promise<{ router: string; undo: () => Promise<void> }> {
  if (destinations.length > MOST_OF_GOBGP) {
    throw new BreakwaterError("BW_REFUSED", `${router.name} runs GoBGP, which takes prefixes one by one`, {
      remedy: `Let the spine announce them: --set router=spine; or give --set prefixes=${MOST_OF_GOBGP} at most`,
    });
  }
  const each = async (verb: "add" | "del") => {
    for (const destination of destinations) await router.gobgp("global", "rib", verb, destination);
  };
  await each("add");
  return { router: router.name, undo: () => each("del") };
}
