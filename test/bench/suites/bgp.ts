/** Routing by BGP: what is lost when something dies or is started anew, and how it goes with many nodes and Services. */
import { join } from "node:path";
import type { Suite } from "../bench.ts";
import { measureConvergence } from "./bgp-convergence.ts";
import { measureScale } from "./bgp-scale.ts";

export const bgp: Suite = {
  name: "bgp",
  run: async (bench) => {
    // The lab's own modules look here too.
    process.env["BREAKWATER_LAB_DIR"] = join(bench.folder, "labs");
    await measureScale(bench);
    await measureConvergence(bench);
  },
};
