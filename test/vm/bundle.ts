/** One file for a program that runs in an emulated machine: to read hundreds takes its processor a minute. */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** @returns its path, from the checkout's folder */
export function bundle(file: string): string {
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
