/** Bundles the program with esbuild: tools/bundle.mjs OUTPUT. */
import { renameSync } from "node:fs";
import { build } from "esbuild";

const [output = "build/breakwater.mjs"] = process.argv.slice(2);
const temporary = `${output}.${process.pid}`;

await build({
  entryPoints: ["src/cli/main.ts"],
  outfile: temporary,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node24",
  minify: true,
  keepNames: true,
  // A native addon cannot be bundled; it ships in node_modules.
  external: ["koffi"],
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
  legalComments: "none",
  logLevel: "warning",
});
// A process that starts meanwhile gets the old or the new one whole.
renameSync(temporary, output);
