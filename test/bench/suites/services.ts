/** Services: how fast they get into the kernel, what a connection through one costs, and what the agent costs that serves them. */
import { mkdirSync } from "node:fs";
import type { Suite } from "../bench.ts";
import { measureServingAgent } from "./services-agent.ts";
import { measureLoads } from "./services-load.ts";
import { measurePaths } from "./services-path.ts";
import { measureRolling } from "./services-roll.ts";

export const services: Suite = {
  name: "services",
  run: async (bench) => {
    mkdirSync(bench.folder);
    measureLoads(bench);
    await measurePaths(bench);
    await measureServingAgent(bench);
    await measureRolling(bench);
  },
};
