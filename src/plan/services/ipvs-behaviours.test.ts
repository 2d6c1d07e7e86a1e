/**
 * The same tests where IPVS balances: what the e2e suites of Kubernetes ask of a Service proxy does not depend on the
 * backend. Each file is run anew, its packets through three nodes with virtual servers.
 */
import { suite } from "node:test";
import { serveWith } from "./testing/service-cluster.ts";

/** Not here: chains.test.ts and table.test.ts, which are about the tables of nftables themselves. */
const FILES = [
  "affinity",
  "bad-input",
  "dual-stack",
  "endpoints",
  "external",
  "internal-policy",
  "no-endpoints",
  "node-ports",
  "source-address",
  "terminating",
  "topology",
  "unserved",
];

serveWith("ipvs");
for (const file of FILES) {
  await suite(`IPVS: ${file}`, async () => {
    await import(`./${file}.test.ts`);
  });
}
