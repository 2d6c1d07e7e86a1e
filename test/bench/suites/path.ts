import type { Suite } from "../bench.ts";
export const path: Suite = { name: "path", run: async () => {} };
