/** Labs of many nodes and pods, and the agent in a large cluster. */
import { mkdirSync } from "node:fs";
import type { Suite } from "../bench.ts";
import { measureAgent } from "./scale-agent.ts";
import { measureLabs } from "./scale-lab.ts";
import { measureRoutes } from "./scale-routes.ts";

export const scale: Suite = {
  name: "scale",
  run: async (bench) => {
    mkdirSync(bench.folder);
    await measureRoutes(bench);
    await measureAgent(bench);
    await measureLabs(bench);
  },
};
