/** What `npm run` and `npm test` start: sets up what is missing, then does the job with Node 24. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { nodeBinary, root, say, setUp } from "./setup.mjs";

const jobs = {
  prepare: { needs: ["run"], command: () => undefined },
  setup: { needs: ["run", "test"], command: () => undefined },
  lab: { needs: ["run"], command: (args) => [join(root, "build", "breakwater.mjs"), "lab", "demo", ...args] },
  test: { needs: ["run", "test"], command: (args) => [join(root, "tools", "test.mjs"), ...args] },
  "test:vm": { needs: ["run", "test", "vm"], command: (args) => [join(root, "tools", "test-vm.mjs"), ...args] },
  check: { needs: ["run"], command: (args) => [join(root, "tools", "check.mjs"), ...args] },
  reference: { needs: ["run"], command: (args) => [join(root, "tools", "reference.ts"), ...args] },
  bench: { needs: ["run", "test", "vm"], command: (args) => [join(root, "test", "bench", "main.ts"), ...args] },
};

const [name = "", ...args] = process.argv.slice(2);
const job = jobs[name];
if (job === undefined) {
  say(`there is no job "${name}": ${Object.keys(jobs).join(", ")}`);
  process.exit(1);
}
setUp(job.needs);
const command = job.command(args);
if (command !== undefined) {
  const env = { ...process.env, BREAKWATER_SELF: "bin/breakwater" };
  const child = spawn(nodeBinary(), ["--disable-warning=ExperimentalWarning", ...command], {
    cwd: root,
    env,
    stdio: "inherit",
  });
  // Ctrl-C reaches the child by itself; this process waits for what it makes of it.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => process.exit(signal === null ? code : 1));
}
