/** The same sequences where IPVS balances: however a node came to its Services, it has what a fresh start gives. */
import { suite } from "node:test";
import { rigWith } from "./testing/proxy-rig.ts";

rigWith({ ipvs: { scheduler: "rr", drainSeconds: 900 } });
await suite("IPVS", async () => {
  await import("./sequences.test.ts");
});
