import type { Suite } from "../bench.ts";
export const scale: Suite = { name: "scale", run: async () => {} };
