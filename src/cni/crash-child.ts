/**
 * For crash.test.ts: a CNI server in a process of its own that may be killed at any instant. Its kernel is a directory,
 * which outlives it. Says "ready" when it serves.   crash-child.ts DIRECTORY POD_CIDR
 */
import { join } from "node:path";
import { FakePodLookup, FakePodNetwork } from "./fake-pod-network.ts";
import { startCniServer } from "./server.ts";

const [directory = "", cidr = ""] = process.argv.slice(2);
const network = new FakePodNetwork({ podCidrs: [cidr], directory: join(directory, "kernel") });
// A real attach takes about a millisecond; the journal is on its way meanwhile.
network.gate = () => new Promise((resolve) => setTimeout(resolve, 1));

await startCniServer({
  socketPath: join(directory, "run", "cni.sock"),
  stateDir: join(directory, "state"),
  network,
  pods: new FakePodLookup(),
  log: { info: () => undefined, warn: (fields, message) => console.error(message, JSON.stringify(fields)) },
  holdBackMs: 0,
  // Small, so that kills hit compactions too.
  journal: { compactAfter: 20 },
});
process.stdout.write("ready\n");
