/**
 * Runs the tests that need a kernel other than this machine's, or its modules: tools/test-vm.mjs [FILE...]. For each file a
 * machine is emulated, with Debian's stock kernel and this machine's files (test/vm/run-in-vm.sh): none finds what another
 * has loaded. Ends with the line "N passed, N failed, N skipped".
 */
import { spawn, spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { bundle } from "../test/vm/bundle.ts";
import { root } from "./setup.mjs";

const kernel = join(root, "build", "vm", "kernel");
const script = (name) => join(root, "test", "vm", name);
const named = process.argv.slice(2);
const files = named.length > 0 ? named : globSync("test/vm/*.test.ts").sort();
/** An emulated processor on a busy machine. */
const TIMEOUT_SECONDS = "1800";

/** @returns the tests that passed, failed, were skipped; a machine that ends without saying so is one that failed */
async function runInMachine(file) {
  process.stdout.write(`${file}\n`);
  const command = [kernel, process.execPath, join(root, "tools", "test.mjs"), bundle(file)];
  const env = { VM_TIMEOUT: TIMEOUT_SECONDS, VM_MEMORY: "2048", ...process.env };
  const child = spawn(script("run-in-vm.sh"), command, { stdio: ["ignore", "pipe", "inherit"], env });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    process.stdout.write(text);
    said += text;
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
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
for (const file of files) for (const [i, count] of (await runInMachine(file)).entries()) totals[i] += count;
const [passed, failed, skipped] = totals;
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
