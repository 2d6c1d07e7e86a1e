/** NetworkPolicies: how fast they get into the kernel, how fast a change follows, and what they cost a packet. */
import { mkdirSync } from "node:fs";
import type { Suite } from "../bench.ts";
import { measurePolicyAgent } from "./policy-agent.ts";
import { measurePolicyLoads } from "./policy-load.ts";
import { measurePolicyPaths } from "./policy-path.ts";

export const policy: Suite = {
  name: "policy",
  run: async (bench) => {
    mkdirSync(bench.folder);
    measurePolicyLoads(bench);
    await measurePolicyAgent(bench);
    await measurePolicyPaths(bench);
  },
};
