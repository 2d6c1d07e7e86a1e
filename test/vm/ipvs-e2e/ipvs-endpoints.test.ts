/** Services through IPVS in a cluster of real agents: the same tests as of the maps of nftables. */
import { suite } from "node:test";
import { serveWith } from "../../e2e/services-fixture.ts";

serveWith("ipvs");
await suite("IPVS: endpoints", async () => {
  await import("../../e2e/services-endpoints.test.ts");
});
