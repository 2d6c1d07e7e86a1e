/** Faults of the BGP daemon, in a lab with --routing bgp. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { BreakwaterError } from "../../model/errors.ts";
import type { FaultKind, FaultTarget } from "./fault.ts";

export const killBird: FaultKind = {
  name: "kill-bird",
  summary: "The node's BIRD is killed (SIGKILL); its routes stay, and the agent starts it anew",
  add: async (target) => {
    process.kill(birdOf(target), "SIGKILL");
    return { description: `BIRD was killed on ${target.node}` };
  },
};

export const hangBird: FaultKind = {
  name: "hang-bird",
  summary: "The node's BIRD hangs (SIGSTOP); its routes stay, and the agent ends it and starts it anew",
  add: async (target) => {
    process.kill(birdOf(target), "SIGSTOP");
    return { description: `BIRD hung on ${target.node}` };
  },
};

/** Pid of the BIRD in a node's network namespace. */
function birdOf({ host, node }: FaultTarget): number {
  const namespace = `net:[${statSync(host.netns).ino}]`;
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const name = readFileSync(`/proc/${entry}/comm`, "utf8").trim();
      if (name === "bird" && readlinkSync(`/proc/${entry}/ns/net`) === namespace) return Number(entry);
    } catch {
      // It has ended since.
    }
  }
  throw new BreakwaterError("BW_REFUSED", `Node ${node} runs no BIRD`, {
    remedy: "Bring the lab up with --routing bgp",
  });
}
