/** `breakwater agent` as a program of its own: a node carries nothing of the lab in its memory. See launch.ts. */
import { agent } from "./agent.ts";
import { runToEnd } from "./run.ts";

await runToEnd(() => agent(process.argv.slice(3)));
