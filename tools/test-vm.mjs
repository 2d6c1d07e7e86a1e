/**
 * Runs the tests that need a kernel other than this machine's, or its modules: tools/test-vm.mjs [--all | FILE...]. For each
 * file a machine is emulated, with Debian's stock kernel and this machine's files (test/vm/run-in-vm.sh): none finds what
 * another has loaded. Two run at a time, for one keeps little more than one processor busy. --all: also what takes too long
 * for every change, test/vm/ipvs-e2e. Ends with the line "N passed, N failed, N skipped".
 */
import { spawn, spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { bundle } from "../test/vm/bundle.ts";
import { root } from "./setup.mjs";

const kernel = join(root, "build", "vm", "kernel");
const script = (name) => join(root, "test", "vm", name);
const words = process.argv.slice(2);
const named = words.filter((word) => word !== "--all");
/** Of the tests of Services through IPVS in whole clusters, those that each change is tested by. */
const CHOSEN = ["external", "node-port"].map((name) => `test/vm/ipvs-e2e/ipvs-${name}.test.ts`);
const usual = [
  ...globSync("test/vm/*.test.ts"),
  ...(words.includes("--all") ? globSync("test/vm/ipvs-e2e/*.test.ts") : CHOSEN),
];
const files = named.length > 0 ? named : usual.sort();
const AT_ONCE = 2;
/** An emulated processor on a busy machine. */
const TIMEOUT_SECONDS = "1800";

/** @returns the tests that passed, failed, were skipped; a machine that ends without saying so is one that failed */
async function runInMachine(file) {
  const started = performance.now();
  const command = [kernel, process.execPath, join(root, "tools", "test.mjs"), bundle(file)];
  const env = { VM_TIMEOUT: TIMEOUT_SECONDS, VM_MEMORY: "2048", ...process.env };
  const child = spawn(script("run-in-vm.sh"), command, { stdio: ["ignore", "pipe", "inherit"], env });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    said += text;
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  // All of it at the end: that of the machine beside it does not come in between.
  process.stdout.write(`${file}, ${Math.round((performance.now() - started) / 1000)} s\n${said}`);
  const counts = [...said.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped\r?$/gm)].at(-1)?.slice(1).map(Number);
  if (counts === undefined) return [0, 1, 0];
  return code === 0 || counts[1] > 0 ? counts : [counts[0], 1, counts[2]];
}

if (process.arch !== "x64") {
  process.stderr.write(`breakwater: the machine of these tests is an x86-64 one, and this is ${process.arch}\n`);
  process.exit(2);
}
const { status } = spawnSync(script("prepare-kernel.sh"), [kernel], { stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);
const totals = [0, 0, 0];
const waiting = [...files];
async function runThem() {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
    for (const [i, count] of (await runInMachine(file)).entries()) totals[i] += count;
}
await Promise.all(Array.from({ length: AT_ONCE }, runThem));
const [passed, failed, skipped] = totals;
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
