/** Types, lint and formatting, and the repository's own rules: imports, documents, names. */
import { spawnSync } from "node:child_process";

const steps = [
  ["types", "node_modules/.bin/tsc", ["--project", "."]],
  ["lint and format", "node_modules/.bin/biome", ["check", "--error-on-warnings"]],
  ["generated reference", process.execPath, ["tools/reference.ts", "--check"]],
  ["rules and documents", process.execPath, ["--test", "--test-reporter=dot", "test/repository/*.test.ts"]],
];

let failed = 0;
for (const [name, command, args] of steps) {
  const { status } = spawnSync(command, args, { stdio: "inherit" });
  process.stdout.write(`${status === 0 ? "ok    " : "FAILED"} ${name}\n`);
  if (status !== 0) failed++;
}
process.exitCode = failed === 0 ? 0 : 1;
