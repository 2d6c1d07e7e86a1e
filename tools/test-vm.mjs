/**
 * Runs the tests that need a kernel other than this machine's, or its modules: tools/test-vm.mjs [FILE...]. A machine is
 * emulated, with Debian's stock kernel and this machine's files (test/vm/run-in-vm.sh); the tests run inside.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { buildSync } from "esbuild";
import { root } from "./setup.mjs";

const kernel = join(root, "build", "vm", "kernel");
const script = (name) => join(root, "test", "vm", name);
const named = process.argv.slice(2);
const files = named.length > 0 ? named : globSync("test/vm/*.test.ts").sort();

function run(command, args) {
  const { status } = spawnSync(command, args, { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

/** One file for each test: to read hundreds takes the emulated processor a minute. */
function bundle(file) {
  const output = join("build", "vm", "tests", `${basename(file, ".ts")}.mjs`);
  buildSync({
    absWorkingDir: root,
    entryPoints: [file],
    outfile: output,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    sourcemap: "inline",
    external: ["koffi"],
    // What the packages in it require.
    banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` },
    logLevel: "error",
  });
  return output;
}

if (process.arch !== "x64") {
  process.stderr.write(`breakwater: the machine of these tests is an x86-64 one, and this is ${process.arch}\n`);
  process.exit(2);
}
run(script("prepare-kernel.sh"), [kernel]);
run(script("run-in-vm.sh"), [kernel, process.execPath, join(root, "tools", "test.mjs"), ...files.map(bundle)]);
